/** What SQLite and the file system say, in words that help. */

import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { ElectError, RefusedError } from "@elect/core/adapter";

/** Result codes of SQLite (https://sqlite.org/rescode.html); the upper bits of an error code refine them. */
const resultCodes = {
  perm: 3,
  busy: 5,
  readonly: 8,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
} as const;

/** Somebody else is in the middle of something: nothing was done, and nothing is wrong. */
export function isBusy(error: unknown): boolean {
  return resultCode(error) === resultCodes.busy;
}

/** The file is not there (or not for us: ask the file system). */
export function isUnopenable(error: unknown): boolean {
  return resultCode(error) === resultCodes.cannotOpen;
}

export function isDamaged(error: unknown): boolean {
  const code = resultCode(error);
  return code === resultCodes.corrupt || code === resultCodes.notADatabase;
}

/** The session is over, and the store or the kernel says so. */
export class SessionOver extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "SessionOver";
  }
}

/** The file behind the path is no longer the database that was opened, so all sessions in it are over. */
export class Replaced extends SessionOver {
  constructor(path: string) {
    super(`the database ${path} was deleted or replaced`);
    this.name = "Replaced";
  }
}

/** Somebody kept the database locked for longer than a call may take. */
class Busy extends Error {
  readonly errcode: number = resultCodes.busy;

  constructor(address: string, cause: unknown) {
    super(`${address}: another process keeps the database locked; is it stopped in the middle of a commit?`, {
      cause,
    });
    this.name = "Busy";
  }
}

/** An error of SQLite or of the file system as one that says what to do; any other as it is. */
export function explained(error: unknown, directory: string): Error {
  if (error instanceof ElectError || error instanceof Busy) return error;
  const address = `sqlite:${directory}`;
  const refuse: Refuse = (refusal, sentence) =>
    new RefusedError(refusal, `${address}: ${sentence}`, { cause: error });
  switch (resultCode(error)) {
    case resultCodes.busy:
      return new Busy(address, error);
    case resultCodes.cannotOpen:
      if (isPermitted(directory))
        return new Error(`${address}: its files cannot be opened`, { cause: error });
      return refuse("permission", permission);
    case resultCodes.perm:
    case resultCodes.readonly:
      return refuse("permission", permission);
    case resultCodes.corrupt:
    case resultCodes.notADatabase:
      return refuse(
        "corrupt",
        "elect.db is not a database, or damaged. Stop all candidates, delete the directory, and raise their " +
          '"generation" option: fencing tokens begin again.',
      );
    case resultCodes.full:
      return refuse("full", "the disk is full. Nothing was changed; free some space.");
    default:
      return explainedFileError(error, refuse) ?? (error instanceof Error ? error : new Error(String(error)));
  }
}

type Refuse = (refusal: string, sentence: string) => RefusedError;

const permission =
  "no permission to read and write the directory and its files. Every user that shares it needs both.";

/** SQLite says "cannot open" for many reasons, too many open files among them: those pass. */
function isPermitted(directory: string): boolean {
  try {
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    accessSync(join(directory, "elect.db"), constants.R_OK | constants.W_OK);
    return true;
  } catch (error) {
    return systemCode(error) === "ENOENT";
  }
}

function explainedFileError(error: unknown, refuse: Refuse): RefusedError | null {
  switch (systemCode(error)) {
    case "EACCES":
    case "EPERM":
      return refuse("permission", permission);
    case "EROFS":
      return refuse(
        "permission",
        "the file system is mounted read-only. Choose a directory that can be written to.",
      );
    case "ENOTDIR":
    case "EEXIST":
      return refuse("directory", "there is a file where the directory should be. Choose another path.");
    case "ENOSPC":
    case "EDQUOT":
      return refuse("full", "the disk is full. Nothing was changed; free some space.");
    default:
      return null;
  }
}

export function systemCode(error: unknown): string | null {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}

function resultCode(error: unknown): number | null {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return null;
  return error.errcode & 0xff;
}
