/** Guarded writes: what an old leader may no longer do, wherever it was stopped. */

import { createElection } from "@elect/core";
import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { fenceIn, holdTerm, postgres, termCondition } from "../src/index.ts";
import { bid, call, claim, client, eventually, grant, sharedServer, Store, untilBlocked } from "./support.ts";

const server = await sharedServer();

async function stage() {
  const at = await Store.on(server.url);
  const [a, b] = [await at.open(), await at.open()];
  const request = bid("x");
  const leadership = { election: "x", token: await grant(a.session, request) };
  await at.rows("create table $schema.report (id int primary key, text text)");
  await at.rows("insert into $schema.report values (1, 'empty')");
  const worker = await client(server.url);
  const text = async (): Promise<string> =>
    (await at.row<{ text: string }>("select text from $schema.report")).text;
  const update = `update "${at.schema}".report set text = $1 where id = 1 and ${termCondition("$2", "$3", at.schema)}`;
  const write = async (what: string): Promise<number | null> =>
    (await worker.query(update, [what, leadership.election, leadership.token])).rowCount;
  return { at, a, b, request, leadership, worker, text, write };
}

describe("one statement", () => {
  test("writes during the term, and not after it: released, taken over, or its session dead", async () => {
    const { at, a, b, request, write, text } = await stage();
    expect(await write("by a")).toBe(1);
    await at.rows("update $schema.session set dead = true where id = $1", [a.session.id]);
    expect(await write("by the dead")).toBe(0);
    await at.rows("update $schema.session set dead = false where id = $1", [a.session.id]);
    await a.session.release([request], call());
    expect(await write("late")).toBe(0);
    await grant(b.session, bid("x"));
    expect(await write("later")).toBe(0);
    expect(await text()).toBe("by a");
  });

  test("does not delay the leader's own proofs", async () => {
    const { a, worker, write } = await stage();
    await worker.query("begin");
    await write("long");
    expect(await a.session.prove(new Map(), call(200))).toMatchObject({ kind: "alive" });
    await worker.query("commit");
  });
});

describe("a transaction", () => {
  test("nobody is elected between its first statement and its commit", async () => {
    const { at, a, b, leadership, worker, text } = await stage();
    await worker.query("begin");
    await holdTerm(worker, leadership, at.schema);
    await at.terminate(a.session);
    await at.expire(a.session);
    const request = bid("x");
    // The session is declared dead; its election is not given to anybody yet, and nobody waits for it inside of a claim.
    expect(await claim(b.session, request)).toMatchObject({ kind: "held", by: null });
    await worker.query(`update "${at.schema}".report set text = 'in time' where id = 1`);
    await worker.query("commit");
    expect(await claim(b.session, request)).toMatchObject({ kind: "granted" });
    expect(await text()).toBe("in time");
    await worker.query("begin");
    await expect(holdTerm(worker, leadership, at.schema)).rejects.toMatchObject({ code: "ELECT_NOT_LEADER" });
    await worker.query("rollback");
  });

  test("a release waits for it", async () => {
    const { at, a, request, leadership, worker } = await stage();
    await worker.query("begin");
    await holdTerm(worker, leadership, at.schema);
    const releasing = a.session.release([request], call());
    await untilBlocked(at, "the release");
    await worker.query("commit");
    await releasing;
  });

  test("outside of a transaction it would hold nothing, and is refused", async () => {
    const { at, leadership, worker } = await stage();
    const pool = new pg.Pool({ connectionString: server.url });
    onTestFinished(() => pool.end());
    for (const wrong of [worker, pool]) {
      await expect(holdTerm(wrong, leadership, at.schema)).rejects.toMatchObject({
        code: "ELECT_INVALID_OPTION",
        option: "client",
      });
    }
  });

  test.each(["repeatable read", "serializable"])(
    "PG-17 under %s an old snapshot admits no old leader",
    async (level) => {
      const { at, a, b, request, leadership, worker, write, text } = await stage();
      await worker.query(`begin isolation level ${level}`);
      await worker.query("select 1");
      await worker.query(`select from "${at.schema}".report`);
      await a.session.release([request], call());
      await grant(b.session, bid("x"));
      // The hazard: the snapshot still shows the old term.
      const { rows } = await worker.query(
        `select token from "${at.schema}".election where name = 'x' and token = $1`,
        [leadership.token],
      );
      expect(rows).toHaveLength(1);
      await expect(write("stale")).rejects.toMatchObject({ code: "40001" });
      await worker.query("rollback");
      await worker.query(`begin isolation level ${level}`);
      await expect(holdTerm(worker, leadership, at.schema)).rejects.toMatchObject({
        code: "ELECT_NOT_LEADER",
      });
      await worker.query("rollback");
      expect(await text()).toBe("empty");
    },
  );
});

describe("a fence in another database", () => {
  const terms = [1n, 2n].map((token) => ({
    election: "x",
    token,
    fence: `0000000000.000000000000000000${token}`,
  }));

  test("G-18 after the seal of the next term, the old one writes nothing; without the seal, it does", async () => {
    const at = await Store.on(server.url);
    const fence = fenceIn();
    const [old, next] = terms;
    if (old === undefined || next === undefined) throw new Error("two terms");
    const [before, after] = [await client(server.url), await client(server.url)];
    await at.rows("create schema $schema");
    for (const one of [before, after]) await one.query(`set search_path = "${at.schema}"`);
    await after.query(fence.create);
    await after.query(
      "create table work (id int primary key, text text); insert into work values (1, 'empty')",
    );
    const write = async (one: typeof before, what: string, term: typeof old): Promise<number | null> =>
      (
        await one.query(`update work set text = $1 where id = 1 and ${fence.condition("$2", "$3")}`, [
          what,
          term.election,
          term.fence,
        ])
      ).rowCount;

    await fence.seal(before, old);
    expect(await write(before, "by the old", old)).toBe(1);
    // The next leader exists, and has not sealed: nothing tells the store.
    expect(await write(before, "by the old, late", old)).toBe(1);
    await fence.seal(after, next);
    expect(await write(before, "by the old, too late", old)).toBe(0);
    expect(await write(after, "by the next", next)).toBe(1);
    await expect(fence.seal(before, old)).rejects.toMatchObject({ code: "ELECT_NOT_LEADER" });
    await fence.seal(after, next);

    // A transaction of the present term keeps the next seal waiting.
    await after.query("begin");
    await fence.hold(after, next);
    const third = { election: "x", token: 3n, fence: "0000000000.0000000000000000003" };
    const sealing = fence.seal(before, third);
    await eventually(
      "the seal waits",
      async () =>
        (
          await at.rows(
            "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%elect_fence%'",
          )
        ).length > 0,
    );
    await after.query("commit");
    await sealing;
    await after.query("begin");
    await expect(fence.hold(after, next)).rejects.toMatchObject({ code: "ELECT_NOT_LEADER" });
    await after.query("rollback");
  });
});

test("with a term of an election, as the README shows it", async () => {
  const at = await Store.on(server.url);
  const backend = postgres(at.url);
  onTestFinished(() => backend.close());
  const election = createElection({ backend, name: "nightly-report", ttl: 2000 });
  const term = await election.campaign();
  const worker = await client(server.url);
  await worker.query("begin");
  await holdTerm(worker, term, at.schema);
  await worker.query("commit");
  await term.resign();
  await worker.query("begin");
  await expect(holdTerm(worker, term, at.schema)).rejects.toMatchObject({ code: "ELECT_NOT_LEADER" });
  await worker.query("rollback");
  await election.close();
});
