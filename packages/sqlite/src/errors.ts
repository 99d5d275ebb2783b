/** What SQLite and the file system say, in words that help. */

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

/** An error of SQLite or of the file system as one that says what to do; any other as it is. */
export function explained(error: unknown, address: string): Error {
  if (error instanceof ElectError) return error;
  const refuse = (refusal: string, sentence: string): RefusedError =>
    new RefusedError(refusal, `${address}: ${sentence}`, { cause: error });
  switch (resultCode(error)) {
    case resultCodes.perm:
    case resultCodes.readonly:
    case resultCodes.cannotOpen:
      return refuse(
        "permission",
        "no permission to read and write the directory and its files. Every user that shares it needs both.",
      );
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

function explainedFileError(
  error: unknown,
  refuse: (refusal: string, sentence: string) => RefusedError,
): RefusedError | null {
  switch (systemCode(error)) {
    case "EACCES":
    case "EPERM":
      return refuse(
        "permission",
        "no permission to use the directory. Every user that shares it must be able to write to it.",
      );
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
