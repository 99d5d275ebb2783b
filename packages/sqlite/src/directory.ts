/**
 * The directory: where things are in it, and whether locks can be trusted there.
 *
 *     elect.db            who leads what (rollback journal beside it while somebody writes)
 *     sessions/<id>       one file for each session, locked by its owner for as long as it lives
 *     sessions/<id>.lease the session's lease (mode "lease")
 *
 * Nothing here may be opened by anybody but SQLite, in the process of a candidate: closing *any* handle of a file gives
 * up all locks that the process holds on it (POSIX). That is why this code asks only what needs no handle: `stat`,
 * `utimes`, `chmod`, `unlink`.
 */

import { chmodSync, mkdirSync, readdirSync, statfsSync, statSync, unlinkSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { RefusedError } from "@elect/core/adapter";
import { systemCode } from "./errors.ts";
import type { Settings } from "./options.ts";

export const databaseName = "elect.db";

/**
 * `f_type` of file systems whose locks may not reach every process that sees the file: they end at one machine, one
 * mount or one container, or depend on a daemon (statfs(2), linux/magic.h).
 */
const distrusted: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
  [0x01021997, "9p"],
  [0x65735546, "FUSE or virtiofs"],
  [0x00c36400, "Ceph"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x564c, "NCP"],
  [0x01161970, "GFS2"],
  [0x7461636f, "OCFS2"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0x19830326, "BeeGFS"],
  [0xaad7aaea, "PanFS"],
  [0x786f4256, "VirtualBox shared folders"],
  [0xbacbacbc, "VMware shared folders"],
  [0x7c7c6673, "Parallels shared folders"],
]);

const overlays: ReadonlyMap<number, string> = new Map([
  [0x794c7630, "overlay"],
  [0x61756673, "aufs"],
]);

const volatile: ReadonlyMap<number, string> = new Map([
  [0x01021994, "tmpfs"],
  [0x858458f6, "ramfs"],
]);

/** The type of the file system a path is on; `null` where the operating system does not say it in numbers. */
export type FileSystemType = (path: string) => number | null;

export const fileSystemType: FileSystemType = (path) =>
  // Read as unsigned: CIFS is negative to a signed reader.
  process.platform === "linux" ? statfsSync(path).type >>> 0 : null;

/** Which file a path leads to: a deleted and recreated file is another one. */
export interface Identity {
  readonly device: bigint;
  readonly inode: bigint;
}

export class Directory {
  readonly path: string;
  readonly database: string;
  /** What an operator should know about the place. */
  readonly warnings: readonly string[];
  readonly #sessions: string;
  readonly #mode: number;

  private constructor(path: string, warnings: readonly string[]) {
    this.path = path;
    this.database = join(path, databaseName);
    this.warnings = warnings;
    this.#sessions = join(path, "sessions");
    // Whoever may use the directory may use the files in it.
    this.#mode = statSync(path).mode & 0o777;
  }

  /** Makes the directory if there is none, for its owner alone, and refuses a place where locks cannot be trusted. */
  static prepare({ directory: path, allowOverlay }: Settings, typeOf: FileSystemType): Directory {
    if (process.platform === "win32" && path.startsWith("\\\\")) throw networkPath(path, "a network share");
    // Asked before anything is made, of the nearest directory that is there.
    const type = typeOf(nearest(path));
    const network = type === null ? undefined : distrusted.get(type);
    if (network !== undefined) throw networkPath(path, network);
    const overlay = type === null ? undefined : overlays.get(type);
    if (overlay !== undefined && !allowOverlay) throw privateOverlay(path, overlay);
    const forgetful = type === null ? undefined : volatile.get(type);
    mkdirSync(dirname(path), { recursive: true });
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return new Directory(
      path,
      forgetful === undefined
        ? []
        : [`${path} is on ${forgetful}: fencing tokens begin again after a reboot. Use a disk.`],
    );
  }

  makeSessions(): void {
    mkdirSync(this.#sessions, { recursive: true });
    permit(this.#sessions, this.#mode);
  }

  session(id: string): string {
    return join(this.#sessions, id);
  }

  lease(id: string): string {
    return join(this.#sessions, `${id}.lease`);
  }

  /** The ids of the sessions that have a file of either kind. */
  sessions(): Set<string> {
    const ours = readdirSync(this.#sessions).filter((name) => /^[0-9a-f]+(\.lease)?$/.test(name));
    return new Set(ours.map((name) => name.replace(/\.lease$/, "")));
  }

  /** Gives a file that we made the permissions of the directory. */
  share(path: string): void {
    permit(path, this.#mode & 0o666);
  }

  /** Deletes a session's files. To be called only while holding what proves its death (S6), or by its owner. */
  removeSession(id: string): void {
    for (const path of [this.lease(id), this.session(id)]) {
      try {
        unlinkSync(path);
      } catch (error) {
        // Somebody was faster, or (Windows) a stopped owner still has it open: the next sweep takes it.
        if (!["ENOENT", "EBUSY", "EPERM"].includes(systemCode(error) ?? "")) throw error;
      }
    }
  }
}

export function identityOf(path: string): Identity | null {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? null : { device: stats.dev, inode: stats.ino };
}

export function isSame(one: Identity, other: Identity): boolean {
  return one.device === other.device && one.inode === other.inode;
}

/**
 * A session's file says by its time of modification that something it held was let go: a whole second later for each
 * time. No clock is meant by it: the numbers only have to differ, on any file system, and need no handle to be read.
 */
export function markOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null;
}

export function advanceMark(path: string): void {
  const mark = markOf(path);
  if (mark === null) return;
  const seconds = Math.floor(mark / 1000) + 1;
  ifOurs(() => utimesSync(path, seconds, seconds));
}

function nearest(path: string): string {
  return identityOf(path) === null && dirname(path) !== path ? nearest(dirname(path)) : path;
}

function permit(path: string, mode: number): void {
  if ((statSync(path).mode & 0o777) !== mode) ifOurs(() => chmodSync(path, mode));
}

/** Changes what only the owner of a file may change; another user of the directory leaves it as it is. */
function ifOurs(change: () => void): void {
  try {
    change();
  } catch (error) {
    if (!["EPERM", "EACCES", "ENOENT"].includes(systemCode(error) ?? "")) throw error;
  }
}

function networkPath(path: string, kind: string): RefusedError {
  return new RefusedError(
    "network-file-system",
    `sqlite:${path} is on ${kind}, whose file locks do not reach every process that sees the files: two leaders would be ` +
      "possible. Choose a directory on a local disk, or a server (redis://, postgres://, …) to elect between hosts.",
  );
}

function privateOverlay(path: string, kind: string): RefusedError {
  return new RefusedError(
    "overlay-file-system",
    `sqlite:${path} is on ${kind}, usually the private disk of one container: candidates in other containers would elect ` +
      "a leader of their own. Mount a volume of the host that all share, use a server (redis://, postgres://, …), or, if " +
      "all candidates live in this container, set allowOverlay (?allowOverlay=true).",
  );
}
