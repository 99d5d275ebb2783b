/**
 * A lock of the kernel that says "this session's process exists", carried by SQLite because Node has no call for it.
 *
 * The owner keeps `BEGIN EXCLUSIVE` open on an empty file; nothing is ever written to it. The kernel frees the lock
 * when the process ends, however it ends. Whoever wants to know asks for a shared lock: refused means alive, and any
 * number may ask at once without being in each other's way. A file is locked once in its life, before the session's row
 * names it; so a lock that is free stays free, and having got it proves death for good.
 */

import { readdirSync, readFileSync, statSync } from "node:fs";
import type { Database, Driver } from "./client.ts";
import { identityOf, isSame, type Identity } from "./directory.ts";
import { isBusy, isDamaged, isUnopenable } from "./errors.ts";

/** A sweeper can be in the way once; more than that is not a sweeper. */
const takeAttempts = 10;

/** The locks of this thread: nobody may be left who knows of one, and still the garbage collector must not close it. */
const kept = new Set<OwnLock>();

export class OwnLock {
  readonly #path: string;
  readonly #database: Database;
  readonly #identity: Identity;
  /** Where Linux shows the locks that we hold on the file; `null` where nobody shows them. */
  #display: string | null;

  private constructor(path: string, database: Database, identity: Identity) {
    this.#path = path;
    this.#database = database;
    this.#identity = identity;
    this.#display = findDisplay(identity);
    kept.add(this);
  }

  /** Makes the file and locks it. Throws "busy" while a sweeper looks whether it is an orphan. */
  static take(driver: Driver, path: string): OwnLock {
    for (let attempts = 1; attempts <= takeAttempts; attempts++) {
      const database = driver.open(path, "write");
      try {
        // In memory: SQLite would open a journal beside the file even for a transaction that writes nothing.
        database.exec("pragma journal_mode = memory; begin exclusive");
        // Locked; but is it still the file that others find under this name? A sweeper may just have deleted it.
        const identity = identityOf(path);
        if (identity !== null && looksHeld(driver, path)) return new OwnLock(path, database, identity);
      } catch (error) {
        database.close();
        throw error;
      }
      database.close();
    }
    throw new Error(`${path} could not be locked: something deletes or replaces it again and again`);
  }

  /** Why the lock protects us no more; `null` while it does. */
  broken(): string | null {
    const identity = identityOf(this.#path);
    if (identity === null) return `its file ${this.#path} was deleted`;
    if (!isSame(identity, this.#identity)) return `its file ${this.#path} was replaced`;
    if (this.#display === null || showsLock(this.#display)) return null;
    // The number of the handle may have moved; look once more before crying wolf.
    this.#display = findDisplay(identity);
    if (this.#display !== null) return null;
    return `its lock was dropped: other code of this process opened and closed ${this.#path}`;
  }

  drop(): void {
    kept.delete(this);
    this.#database.close();
  }
}

/** Asks by name, as others do. Within a process SQLite compares the inodes of its handles, so no other file will do. */
function looksHeld(driver: Driver, path: string): boolean {
  const probe = LockProbe.open(driver, path);
  const held = probe?.isHeld() === true;
  probe?.close();
  return held;
}

/** Asks whether a session's owner holds its lock. */
export class LockProbe {
  readonly #database: Database;
  #gotIt = false;

  private constructor(database: Database) {
    this.#database = database;
  }

  /** `null`: there is no such file. */
  static open(driver: Driver, path: string): LockProbe | null {
    if (identityOf(path) === null) return null;
    try {
      return new LockProbe(driver.open(path, "read"));
    } catch (error) {
      if (isUnopenable(error) && identityOf(path) === null) return null;
      throw error;
    }
  }

  /** If it is not held, we have it now, shared with whoever else found it free, until `close`. */
  isHeld(): boolean {
    if (this.#gotIt) return false;
    try {
      // A read-only handle takes the shared lock at once, and no more than that.
      this.#database.exec("begin immediate");
    } catch (error) {
      if (isBusy(error)) return true;
      // Somebody wrote something into it; but SQLite reads only what it could lock.
      if (!isDamaged(error)) throw error;
    }
    this.#gotIt = true;
    return false;
  }

  close(): void {
    this.#database.close();
  }
}

/**
 * Linux shows the locks that a process holds on a file among the information on its handle. The only second look there
 * is: SQLite believes in a lock once taken, and asking the kernel for our own lock never conflicts with us.
 */
function findDisplay(identity: Identity): string | null {
  if (process.platform !== "linux") return null;
  for (const handle of list("/proc/self/fd")) {
    const found = identityOfHandle(`/proc/self/fd/${handle}`);
    if (found === null || !isSame(found, identity)) continue;
    const display = `/proc/self/fdinfo/${handle}`;
    if (showsLock(display)) return display;
  }
  return null;
}

function showsLock(display: string): boolean {
  try {
    return /^lock:.*POSIX.*WRITE/m.test(readFileSync(display, "utf8"));
  } catch {
    return false;
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function identityOfHandle(path: string): Identity | null {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return { device: dev, inode: ino };
  } catch {
    return null;
  }
}
