/**
 * Effects that only the leader may have, in a SQLite database of the user's: the transaction that makes them also holds
 * the election still and sees that the term leads.
 */

import { NotLeaderError, type Backend, type Term } from "@elect/core";
import { InvalidOptionError } from "@elect/core/adapter";
import { adapterOf } from "./adapter.ts";
import { atOnce, whenFree } from "./busy.ts";
import { identityOf } from "./directory.ts";

/** What is used of the user's `DatabaseSync` of `node:sqlite`. */
export interface GuardedDatabase {
  exec(sql: string): void;
  prepare(sql: string): { get(...values: (string | bigint)[]): unknown };
}

export interface GuardedTransactionOptions {
  /** Gives up waiting for a database that is busy. */
  readonly signal?: AbortSignal;
}

/**
 * Runs `work` in one transaction of `database` if, and only if, `term` leads; rejects with a `NotLeaderError` and
 * changes nothing otherwise. Until the transaction is through nobody else can become leader, so nothing that a
 * successor does comes before it: also when this process is stopped in the middle.
 *
 * `work` is synchronous, short (it keeps everybody from electing), and may be run again when the database was busy: its
 * effects are those of the last run only. The database is attached to Elect's for the time of the transaction.
 *
 * ```ts
 * await guardedTransaction(backend, term, database, (db) => {
 *   db.prepare("update report set done = ? where day = ?").run(1, today);
 * });
 * ```
 */
export async function guardedTransaction<D extends GuardedDatabase, T>(
  backend: Backend,
  term: Term,
  database: D,
  work: (database: D) => T,
  options: GuardedTransactionOptions = {},
): Promise<T> {
  const { path, address } = adapterOf(backend).database;
  const signal = options.signal ?? new AbortController().signal;
  return whenFree({ signal, timeoutMs: 5_000 }, () => {
    term.assertValid();
    attach(database, path, term, address);
    try {
      return transaction(database, term, address, work);
    } finally {
      quietly(database, "detach database elect_guard");
    }
  });
}

function attach(database: GuardedDatabase, path: string, term: Term, address: string): void {
  // Deleted, and every election with it: to attach it would make a new one.
  if (identityOf(path) === null) throw notLeader(term, address);
  database.prepare("attach database ? as elect_guard").get(path);
  // A connection in exclusive mode would keep the lock on the elections, too.
  database.exec("pragma elect_guard.locking_mode = normal");
}

function transaction<D extends GuardedDatabase, T>(
  database: D,
  term: Term,
  address: string,
  work: (database: D) => T,
): T {
  // Immediate: from here on nobody else writes to either database, so the record that we see now is the one at commit.
  database.exec("begin immediate");
  try {
    const record = database
      .prepare("select 1 from elect_guard.election where name = ? and token = ?")
      .get(term.election, term.token);
    if (record === undefined) throw notLeader(term, address);
    const result = work(database);
    if (isThenable(result)) {
      throw new InvalidOptionError(
        "work",
        "work must be synchronous: what it does after an await is in no transaction.",
      );
    }
    atOnce(() => database.exec("commit"));
    return result;
  } catch (error) {
    quietly(database, "rollback");
    throw error;
  }
}

/** Tidies up after an error that says more than what could go wrong here. */
function quietly(database: GuardedDatabase, sql: string): void {
  try {
    database.exec(sql);
  } catch {
    // SQLite has rolled back by itself (disk full, I/O), or the user's own transaction was open before.
  }
}

function notLeader(term: Term, address: string): NotLeaderError {
  return new NotLeaderError(
    term.election,
    term.token,
    "record-lost",
    `Election "${term.election}" on ${address}: token ${term.token} leads no more, so the guarded transaction was not run. ` +
      "Stop acting on this term; campaign again to lead under a new one.",
  );
}

function isThenable(value: unknown): boolean {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
