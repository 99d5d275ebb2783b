/** When a session is dead, who may say so, and what it survives. */

import { describe, expect, test } from "vitest";
import {
  bid,
  call,
  claim,
  client,
  eventually,
  grant,
  holding,
  nonce,
  sharedServer,
  Store,
  ttl,
  untilBlocked,
} from "./support.ts";

const server = await sharedServer();
const store = async (): Promise<Store> => Store.on(server.url);

describe("S1 death is one step", () => {
  test("the hazard: lease and lock tested inside of the claim let a proof be acknowledged and still lose", async () => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    await grant(a.session, bid("x"));
    await at.terminate(a.session);
    await at.expire(a.session);
    const [blocker, naive] = [await client(server.url), await client(server.url)];
    await blocker.query("begin");
    await blocker.query(`select from "${at.schema}".election where name = 'x' for share`);
    const taking = naive.query(
      `update "${at.schema}".election e set session = $1 where name = 'x' and exists (
         select from "${at.schema}".session s
          where s.id = e.session and s.lease < clock_timestamp() and pg_try_advisory_xact_lock_shared(s.life))`,
      [b.session.id],
    );
    await untilBlocked(at, "the naive claim, having tested lease and lock,");
    expect(await a.session.prove(holding(), call())).toMatchObject({ kind: "alive" });
    await blocker.query("commit");
    expect((await taking).rowCount, "taken from a session that was told it lives").toBe(1);
  });

  test("a proof that commits while a rival is about to declare the session dead wins", async () => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    const token = await grant(a.session, bid("x"));
    await at.terminate(a.session);
    await at.expire(a.session);
    // The proof has the row; the rival has read the lease that is over, found the lock free, and waits for the row.
    const proving = await client(server.url);
    await proving.query("begin");
    await proving.query(
      `update "${at.schema}".session set lease = clock_timestamp() + interval '10 s', renewals = renewals + 1 where id = $1`,
      [a.session.id],
    );
    const answer = claim(b.session, bid("x"));
    await untilBlocked(at, "the rival");
    await proving.query("commit");
    expect(await answer).toMatchObject({ kind: "held", by: { token } });
    expect(await at.dead(a.session)).toBe(false);
    expect(await a.session.prove(holding(), call())).toMatchObject({ kind: "alive", lost: [] });
  });

  test("a proof that comes after the death does not undo it, nor does a reconnect", async () => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    const bidOfA = bid("x");
    await grant(a.session, bidOfA);
    await at.terminate(a.session);
    await at.expire(a.session);
    await grant(b.session, bid("x"));
    expect(await a.session.prove(holding(bidOfA), call())).toMatchObject({ kind: "dead" });
    expect(await a.session.prove(holding(bidOfA), call())).toMatchObject({ kind: "dead" });
    expect(await at.dead(a.session)).toBe(true);
  });

  test("a proof on its own living connection does not undo it either, and renews nothing", async () => {
    const at = await store();
    const { session } = await at.open();
    const request = bid("x");
    await grant(session, request);
    const { lease } = await at.row<{ lease: Date }>("update $schema.session set dead = true returning lease");
    expect(await session.prove(holding(request), call())).toMatchObject({ kind: "dead" });
    expect(await at.row("select dead, lease from $schema.session")).toEqual({ dead: true, lease });
  });

  test("a reconnect to a dead session takes no lock and leaves its row alone", async () => {
    const at = await store();
    const { session } = await at.open();
    await at.terminate(session);
    const before = await at.row("update $schema.session set dead = true returning *");
    expect(await session.prove(holding(), call())).toMatchObject({ kind: "dead" });
    expect(await at.row("select * from $schema.session")).toEqual(before);
  });

  test.each([
    ["whose lease is over but whose connection lives (the server's clock was set forward)", false, true],
    ["whose connection is gone but whose lease is not over (a reset)", true, false],
  ])("a session %s is not dead", async (_, terminate, expire) => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    await grant(a.session, bid("x"));
    if (terminate) await at.terminate(a.session);
    if (expire) await at.expire(a.session);
    expect(await claim(b.session, bid("x"))).toMatchObject({ kind: "held" });
    expect(await at.dead(a.session)).toBe(false);
  });

  test("the claim of a session that is being declared dead is over before it is dead", async () => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    // A's claim has locked its session's row, and stands still in the middle.
    const claiming = await client(server.url);
    await claiming.query("begin");
    await claiming.query(`select from "${at.schema}".session where id = $1 for share`, [a.session.id]);
    await claiming.query(
      `insert into "${at.schema}".election (name, session, nonce, token, candidate, metadata, ttl_ms)
      values ('x', $1, $2, 1, 'a', '{}', 1500)`,
      [a.session.id, nonce()],
    );
    const burying = b.adapter.end(a.session.ticket, call());
    await untilBlocked(at, "the burial");
    await claiming.query("commit");
    await burying;
    expect(await claim(b.session, bid("x"))).toMatchObject({ kind: "granted" });
  });
});

describe("what the server's clock cannot judge", () => {
  test.each([
    [
      "a session of another timeline (before a promotion)",
      "update $schema.session set timeline = timeline + 7 where id = $1",
    ],
    [
      "a lease from before the clock was set back",
      "update $schema.session set lease = lease + interval '1 hour' where id = $1",
    ],
  ])("%s is timed by the challenger, version by version", async (_, deed) => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    await grant(a.session, bid("x"));
    await at.terminate(a.session);
    await at.expire(a.session);
    await at.rows(deed, [a.session.id]);
    const request = bid("x");
    const seen = async (unchanged: string | null): Promise<string> => {
      const answer = await claim(b.session, { ...request, unchanged });
      expect(answer).toMatchObject({ kind: "held", patience: { leaseMs: ttl } });
      return (answer.kind === "held" && answer.patience?.version) || "";
    };
    const before = await seen(null);
    expect(await seen(null)).toBe(before);
    // A renewal (on the server it believes in) makes it another version, and the wait begins anew.
    await at.rows("update $schema.session set renewals = renewals + 1 where id = $1", [a.session.id]);
    const after = await seen(before);
    expect(after).not.toBe(before);
    await grant(b.session, { ...request, unchanged: after });
    expect(await a.session.prove(holding(), call())).toMatchObject({ kind: "dead" });
  });
});

test("a session of another timeline is declared dead by nobody's clock but the challenger's", async () => {
  const at = await store();
  const { session } = await at.open();
  await at.terminate(session);
  session.abandon();
  await at.rows("update $schema.session set timeline = 9, lease = lease - interval '1 hour'");
  await at.rows("select set_config('elect.timeline', '1', false)");
  const bury = async (version: string): Promise<object[]> => at.rows(at.sql.bury, [session.id, version, []]);
  expect(await bury("")).toMatchObject([{ buried: "0" }]);
  await at.open();
  expect(await at.dead(session)).toBe(false);
  expect(await bury("9:0")).toMatchObject([{ buried: "1" }]);
});

describe("promise 8: a lost connection is not a lost session", () => {
  test("after a mere reset the session goes on under a new life lock", async () => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    const request = bid("x");
    const token = await grant(a.session, request);
    const pid = await at.lifeHolder(a.session);
    await at.terminate(a.session);
    expect(await a.heard.next("doubt")).toContain("terminating connection");
    expect(await a.session.prove(holding(request), call())).toEqual({
      kind: "alive",
      ttlMs: ttl,
      covers: "all",
      lost: [],
    });
    expect(await at.lifeHolder(a.session)).not.toBe(pid);
    await at.expire(a.session);
    expect(await claim(b.session, bid("x"))).toMatchObject({ kind: "held", by: { token } });
  });

  test("what an abandoned connection says is not heard", async () => {
    const at = await store();
    const { session, heard } = await at.open();
    session.abandon();
    await eventually("the server notices", async () => (await at.lifeHolder(session)) === null);
    expect(heard.all).toEqual([]);
    await expect(session.prove(holding(), call())).rejects.toThrow("over");
  });
});
