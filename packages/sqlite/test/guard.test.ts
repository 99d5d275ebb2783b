/** Effects in the user's own database that only the leader may have. */

import { createElection, NotLeaderError, type Backend, type Term } from "@elect/core";
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, onTestFinished, test } from "vitest";
import { guardedTransaction, sqlite } from "../src/index.ts";
import { OtherProcess, peek, request, temporaryDirectory } from "./rig.ts";

interface Scene {
  readonly directory: string;
  readonly backend: Backend;
  readonly term: Term;
  readonly database: DatabaseSync;
  /** What the user's table holds. */
  rows(): unknown[];
}

async function scene(): Promise<Scene> {
  const directory = temporaryDirectory();
  const backend = sqlite({ directory });
  const term = await createElection({ backend, name: "report", ttl: 5_000 }).campaign();
  onTestFinished(async () => {
    await term.resign();
    await backend.close();
  });
  const database = new DatabaseSync(join(temporaryDirectory(), "app.db"));
  onTestFinished(() => database.close());
  database.exec("pragma journal_mode = wal; create table effect (name text)");
  return {
    directory,
    backend,
    term,
    database,
    rows: () => database.prepare("select name from effect").all(),
  };
}

const insert = (name: string) => (database: DatabaseSync) =>
  database.prepare("insert into effect values (?)").run(name).changes;

test("the leader's transaction goes through, and gives what the work gives", async () => {
  const { backend, term, database, rows } = await scene();
  expect(await guardedTransaction(backend, term, database, insert("one"))).toBe(1);
  expect(await guardedTransaction(backend, term, database, insert("two"))).toBe(1);
  expect(rows()).toEqual([{ name: "one" }, { name: "two" }]);
  expect(database.prepare("select name from pragma_database_list").all()).toEqual([{ name: "main" }]);
});

test("G-18 G-19 a former leader changes nothing, before its successor has done anything, and before it knows", async () => {
  const { directory, backend, term, database, rows } = await scene();
  peek(directory, (records) => records.exec("delete from election"));
  const successor = await OtherProcess.withSession(directory);
  await successor.win(request("report"));
  expect(term.isValid()).toBe(true);
  await expect(guardedTransaction(backend, term, database, insert("late"))).rejects.toThrow(NotLeaderError);
  expect(rows()).toEqual([]);
});

test("nobody else becomes leader until the transaction is through, however long the process is stopped in it", async () => {
  const { directory, backend, term, database, rows } = await scene();
  const other = await OtherProcess.withSession(directory);
  let rival: Promise<unknown> = Promise.resolve();
  await guardedTransaction(backend, term, database, (db) => {
    peekRecords(db);
    rival = other.claim(request("report"));
    // The loop stands still, as in a stopped process, while the other one tries.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
    return insert("in peace")(db);
  });
  expect(await rival).toMatchObject({ kind: "held", by: null });
  expect(rows()).toEqual([{ name: "in peace" }]);
});

test("work that throws changes nothing", async () => {
  const { backend, term, database, rows } = await scene();
  const failing = guardedTransaction(backend, term, database, (db) => {
    insert("half")(db);
    throw new Error("no further");
  });
  await expect(failing).rejects.toThrow("no further");
  expect(rows()).toEqual([]);
  await guardedTransaction(backend, term, database, insert("next"));
});

test("work that is asynchronous is refused: what comes after its await would be in no transaction", async () => {
  const { backend, term, database, rows } = await scene();
  const work = async (db: DatabaseSync): Promise<void> => void insert("early")(db);
  await expect(guardedTransaction(backend, term, database, work)).rejects.toMatchObject({
    code: "ELECT_INVALID_OPTION",
  });
  expect(rows()).toEqual([]);
});

test("a resigned term is refused without a look at the database", async () => {
  const { backend, term, database } = await scene();
  await term.resign();
  await expect(guardedTransaction(backend, term, database, insert("late"))).rejects.toThrow(NotLeaderError);
});

test("a deleted store is nobody's, and is not made again by asking", async () => {
  const { directory, backend, term, database } = await scene();
  unlinkSync(join(directory, "elect.db"));
  await expect(guardedTransaction(backend, term, database, insert("late"))).rejects.toThrow(NotLeaderError);
});

test("a transaction that the user has open is left to the user", async () => {
  const { backend, term, database, rows } = await scene();
  database.exec("begin");
  insert("mine")(database);
  await expect(guardedTransaction(backend, term, database, insert("guarded"))).rejects.toThrow(
    /within a transaction/,
  );
  database.exec("commit");
  expect(rows()).toEqual([{ name: "mine" }]);
});

test("a user's database that is busy is waited for", async () => {
  const { backend, term, database, rows } = await scene();
  const other = new DatabaseSync(database.location() ?? "");
  onTestFinished(() => other.close());
  other.exec("begin immediate");
  const guarded = guardedTransaction(backend, term, database, insert("patient"));
  await new Promise((resolve) => setImmediate(resolve));
  other.exec("commit");
  await guarded;
  expect(rows()).toEqual([{ name: "patient" }]);
});

/** The work sees the elections, too, if it wants to. */
function peekRecords(database: DatabaseSync): void {
  expect(database.prepare("select name from elect_guard.election").all()).toEqual([{ name: "report" }]);
}
