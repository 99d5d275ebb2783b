/** Who is woken when an election may be free. */

import { describe, expect, test } from "vitest";
import { read, type Found } from "../src/readings.ts";
import {
  bid,
  call,
  claim,
  client,
  crash,
  grant,
  holding,
  sharedServer,
  Store,
  untilBlocked,
} from "./support.ts";

const server = await sharedServer();
const store = async (): Promise<Store> => Store.on(server.url);

describe("waking", () => {
  test("a release wakes the one that has waited longest, and nobody else", async () => {
    const at = await store();
    const [a, b, c] = [await at.open(), await at.open(), await at.open()];
    const bidOfA = bid("x");
    await grant(a.session, bidOfA);
    await claim(b.session, bid("x"));
    await claim(c.session, bid("x"));
    await a.session.release([bidOfA], call());
    expect(await b.heard.next("hint")).toBe("hint x");
    expect(c.heard.all).toEqual([]);
  });

  test.each(["ends", "crashes", "releases"])(
    "who leads 1,000 elections %s: the waiter is told in a few messages, and hears of all in one go",
    async (how) => {
      const at = await store();
      const [a, b] = [await at.open({ ttlMs: 20_000 }), await at.open({ ttlMs: 20_000 })];
      // As long as names may be: what does not go into one message goes into the next.
      const bids = Array.from({ length: 1000 }, (_, nth) => bid(`${nth}-`.padEnd(200, "x")));
      await a.session.claim(bids, call());
      await b.session.claim(
        bids.map(({ election }) => bid(election)),
        call(),
      );
      const ear = await client(server.url);
      let messages = 0;
      ear.on("notification", () => (messages += 1));
      await ear.query(`listen "elect_${b.session.id}"`);
      if (how === "ends") await a.session.end(call());
      else if (how === "releases") await a.session.release(bids, call());
      else {
        await crash(at, a);
        await at.rows("select set_config('elect.timeline', '1', false)");
        await at.rows(at.sql.bury, [a.session.id, "", []]);
      }
      const first = await b.heard.next("hint");
      // Whoever claims what it hears of in one turn, claims all.
      expect(new Set([first, ...b.heard.all])).toEqual(
        new Set(bids.map(({ election }) => `hint ${election}`)),
      );
      await ear.query("select");
      expect(messages).toBeLessThan(40);
    },
  );

  test("a waiter that is dead or silent is passed over; one that withdraws passes the wake-up on", async () => {
    const at = await store();
    const [a, dead, silent, b, c] = [
      await at.open(),
      await at.open(),
      await at.open(),
      await at.open(),
      await at.open(),
    ];
    const [bidOfA, bidOfB] = [bid("x"), bid("x")];
    await grant(a.session, bidOfA);
    for (const { session } of [dead, silent]) await claim(session, bid("x"));
    await claim(b.session, bidOfB);
    await claim(c.session, bid("x"));
    await at.rows("update $schema.session set dead = true where id = $1", [dead.session.id]);
    await at.expire(silent.session);
    await a.session.release([bidOfA], call());
    await b.heard.next("hint");
    await b.session.release([bidOfB], call());
    expect(await c.heard.next("hint")).toBe("hint x");
  });

  test("the end of a session wakes a waiter for each of its elections, and passes on what it was woken for", async () => {
    const at = await store();
    const [a, b, c] = [await at.open(), await at.open(), await at.open()];
    await a.session.claim([bid("x"), bid("y")], call());
    await b.session.claim([bid("x")], call());
    await c.session.claim([bid("x"), bid("y")], call());
    await a.session.end(call());
    expect([await b.heard.next("hint"), await c.heard.next("hint")]).toEqual(["hint x", "hint y"]);
    await b.session.end(call());
    expect(await c.heard.next("hint")).toBe("hint x");
  });

  test("who joins while a release is under way is woken by its second look", async () => {
    const at = await store();
    const [a, b] = [await at.open({ ttlMs: 20_000 }), await at.open({ ttlMs: 20_000 })];
    const bidOfA = bid("x");
    await grant(a.session, bidOfA);
    // The release has looked for waiters, and waits for the row that a guarded write has locked.
    const guarded = await client(server.url);
    await guarded.query("begin");
    await guarded.query(`select from "${at.schema}".election where name = 'x' for share`);
    const releasing = a.session.release([bidOfA], call());
    await untilBlocked(at, "the release");
    expect(await claim(b.session, bid("x"))).toMatchObject({ kind: "held" });
    await guarded.query("commit");
    await releasing;
    expect(await b.heard.next("hint")).toBe("hint x");
  });

  test("PG-13 a wake-up that was lost is made good by the next proof, or by the reconnect", async () => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    await grant(a.session, bid("x"));
    await claim(b.session, bid("x"));
    await at.rows(
      "update $schema.election set session = null, nonce = null, token = null, candidate = null, metadata = null",
    );
    await b.session.prove(holding(), call());
    expect(await b.heard.next("hint")).toBe("hint x");
    await at.terminate(b.session);
    await b.session.prove(holding(), call());
    expect(await b.heard.next("hint")).toBe("hint *");
  });

  test("the burial of a session wakes one waiter for each election that its burier does not claim", async () => {
    const at = await store();
    const [a, b, c] = [await at.open(), await at.open(), await at.open()];
    await a.session.claim([bid("x"), bid("y")], call());
    const bidOfB = bid("x");
    await claim(b.session, bidOfB);
    await c.session.claim([bid("x"), bid("y")], call());
    await crash(at, a);
    await grant(b.session, bidOfB);
    expect(await c.heard.next("hint")).toBe("hint y");
    expect(c.heard.all).toEqual([]);
  });

  test.each(["leader", "waiter"])(
    "leader and next in line crash together, and the %s is declared dead first: the one after them is woken",
    async (first) => {
      const at = await store();
      const [leader, next, last, burier] = [
        await at.open(),
        await at.open(),
        await at.open(),
        await at.open(),
      ];
      await leader.session.claim([bid("x"), bid("y")], call());
      // In its own queue, too: the dead do not wake themselves.
      await leader.session.claim([bid("y")], call());
      await next.session.claim([bid("x"), bid("y")], call());
      await last.session.claim([bid("x"), bid("y")], call());
      for (const { session } of [leader, next]) {
        await at.terminate(session);
        session.abandon();
      }
      // By connection alone, so that both are still proven: the lease says nothing about who can be woken.
      await at.rows("update $schema.session set takeover = 'connection' where id = any ($1)", [
        [leader.session.id, next.session.id],
      ]);
      await at.rows("select set_config('elect.timeline', '1', false)");
      for (const { session } of first === "leader" ? [leader, next] : [next, leader])
        expect(await at.rows(at.sql.bury, [session.id, "", []])).toMatchObject([{ buried: "1" }]);
      expect([await last.heard.next("hint"), await last.heard.next("hint")].toSorted()).toEqual([
        "hint x",
        "hint y",
      ]);
      expect(burier.heard.all).toEqual([]);
    },
  );

  test("a waiter that ends after it was woken for the election of a dead session passes that on", async () => {
    const at = await store();
    const [leader, woken, last] = [await at.open(), await at.open(), await at.open()];
    await grant(leader.session, bid("x"));
    await claim(woken.session, bid("x"));
    await claim(last.session, bid("x"));
    await at.rows("update $schema.session set dead = true where id = $1", [leader.session.id]);
    await woken.session.end(call());
    expect(await last.heard.next("hint")).toBe("hint x");
  });

  test("after a crash the waiters come one after the other, in the order of their arrival", async () => {
    const at = await store();
    const leader = await at.open();
    await grant(leader.session, bid("x"));
    const places: number[] = [];
    for (let nth = 0; nth < 3; nth++) {
      const { session } = await at.open();
      const request = bid("x");
      await claim(session, request);
      // What the claim answers when the lease is over in just a second.
      const { rows } = await at.claimRow(session, request);
      const found = {
        ...(JSON.parse(rows.find(({ nonce }) => nonce === request.nonce)?.["found"] ?? "{}") as Found),
        lease: 1000,
      };
      const { answer } = read(JSON.stringify(found), request, session.id);
      places.push((answer.kind === "held" && answer.retryInMs) || 0);
    }
    expect(places).toEqual([1015, 1030, 1045]);
  });
});
