/**
 * The main database: who leads what. Every transaction begins and ends within one turn of the event loop, so no code of
 * this thread ever runs in the middle of one.
 */

import { RefusedError } from "@elect/core/adapter";
import { atOnce } from "./busy.ts";
import { count, text, type Database, type Driver } from "./client.ts";
import { identityOf, isSame, type Directory, type Identity } from "./directory.ts";
import { Replaced } from "./errors.ts";
import { applicationId, prepare, schema, schemaVersion, settings, type Statements } from "./sql.ts";

export class Store {
  /** Which store this is, over restarts: a random name given when the database was made. */
  readonly id: string;
  readonly path: string;
  readonly #database: Database;
  readonly #identity: Identity;
  readonly #sql: Statements;

  private constructor(path: string, database: Database, identity: Identity) {
    this.path = path;
    this.#database = database;
    this.#identity = identity;
    this.#sql = prepare(database);
    const row = this.#sql.store.get();
    if (row === undefined) throw new TypeError(`${path} has no row in "store"`);
    this.id = text(row, "id");
  }

  /** Opens the database, or makes it. Throws "busy" while others do. */
  static open(driver: Driver, directory: Directory): Store {
    const path = directory.database;
    const database = driver.open(path, "write");
    try {
      const identity = identityOf(path);
      if (identity === null) throw new Replaced(path);
      database.exec(settings);
      if (pragma(database, "user_version") !== schemaVersion) lay(database, directory);
      checkJournal(database, path);
      return new Store(path, database, identity);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Whether the file behind the path is another one than when it was opened. */
  isReplaced(): boolean {
    const identity = identityOf(this.path);
    return identity === null || !isSame(identity, this.#identity);
  }

  /** Changes whenever another connection has changed the database. */
  version(): number {
    const row = this.#sql.version.get();
    return row === undefined ? 0 : count(row, "data_version");
  }

  /** Sees one state of the database throughout. */
  read<T>(work: (sql: Statements) => T): T {
    return this.#transaction("begin", work);
  }

  /** All or nothing, on the disk when it returns, and nobody else writes meanwhile. */
  write<T>(work: (sql: Statements) => T): T {
    return this.#transaction("begin immediate", work);
  }

  close(): void {
    this.#database.close();
  }

  #transaction<T>(begin: "begin" | "begin immediate", work: (sql: Statements) => T): T {
    this.#database.exec(begin);
    try {
      // What is written to a deleted database, nobody reads.
      if (this.isReplaced()) throw new Replaced(this.path);
      const result = work(this.#sql);
      atOnce(() => this.#database.exec("commit"));
      return result;
    } catch (error) {
      this.#rollback();
      throw error;
    }
  }

  #rollback(): void {
    try {
      this.#database.exec("rollback");
    } catch {
      // SQLite rolls back by itself after some errors (disk full, I/O), and then says that there is nothing to roll back.
    }
  }
}

function lay(database: Database, directory: Directory): void {
  database.exec("begin immediate");
  try {
    const version = pragma(database, "user_version");
    const empty = pragma(database, "schema_version") === 0;
    if (!empty && pragma(database, "application_id") !== applicationId) throw foreign(directory.database);
    if (version > schemaVersion) throw newer(directory.database, version);
    if (empty) database.exec(schema);
    atOnce(() => database.exec("commit"));
    if (empty) directory.share(directory.database);
  } catch (error) {
    try {
      database.exec("rollback");
    } catch {
      // As above.
    }
    throw error;
  }
}

function checkJournal(database: Database, path: string): void {
  const mode = database.prepare("pragma journal_mode").get();
  if (mode === undefined || mode["journal_mode"] === "truncate") return;
  throw new RefusedError(
    "journal",
    `${path} is in journal mode "${text(mode, "journal_mode")}" and could not be set to "truncate": something else uses the ` +
      "database. It is Elect's own; keep other programs away from it.",
  );
}

function pragma(database: Database, name: "user_version" | "application_id" | "schema_version"): number {
  const row = database.prepare(`pragma ${name}`).get();
  return row === undefined ? 0 : count(row, name);
}

function foreign(path: string): RefusedError {
  return new RefusedError(
    "foreign",
    `${path} is a database of something else. Give Elect a directory of its own.`,
  );
}

function newer(path: string, version: number): RefusedError {
  return new RefusedError(
    "version",
    `${path} was written by a newer @elect/sqlite (layout ${version}, this one knows ${schemaVersion}). Update it here, ` +
      "or stop all candidates and delete the directory.",
  );
}
