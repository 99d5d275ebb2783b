/** The rules of sessions (S1 to S6 in port.ts), each forced at the point where it could be broken. */

import { describe, expect, test } from "vitest";
import { onlookersKey } from "../src/channels.ts";
import { read } from "../src/claiming.ts";
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
  untilBlocked,
  within,
  type Process,
} from "./support.ts";

const server = await sharedServer();
const store = async (): Promise<Store> => Store.on(server.url);

/** As if the process had gone without a word: nothing of it is connected, and its lease is over. */
async function crash(at: Store, { session }: Process): Promise<void> {
  await at.terminate(session);
  session.abandon();
  await at.expire(session);
}

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
      `update "${at.schema}".session set lease = clock_timestamp() + interval '1.5 s', renewals = renewals + 1 where id = $1`,
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

describe("S2 records name session and nonce", () => {
  test("the hazard: a lock for each election would let in every candidate of the process that has it", async () => {
    const naive = await client(server.url);
    const take = async (): Promise<unknown> =>
      (await naive.query<{ taken: boolean }>("select pg_try_advisory_lock(hashtext('x')) as taken")).rows[0]
        ?.taken;
    expect([await take(), await take()]).toEqual([true, true]);
  });

  test("the same nonce finds its term again, with the same token; another one of the session does not", async () => {
    const at = await store();
    const { session } = await at.open();
    const [one, other] = [bid("x"), bid("x")];
    const token = await grant(session, one);
    expect(await grant(session, one)).toBe(token);
    expect(await claim(session, other)).toMatchObject({ kind: "held", by: { token } });
    expect(await at.rows("select from $schema.waiter where nonce = $1", [one.nonce])).toHaveLength(0);
    await session.release([one], call());
    expect(await grant(session, other)).toBeGreaterThan(token);
  });

  test("two nonces in one call: the first gets it", async () => {
    const at = await store();
    const { session } = await at.open();
    const both = await session.claim([bid("x"), bid("x")], call());
    expect(both.map(({ kind }) => kind)).toEqual(["granted", "held"]);
  });

  test("a life lock never blocks its own process: taken once, also after a reconnect", async () => {
    const at = await store();
    const { session } = await at.open();
    await at.expire(session);
    await grant(session, bid("x"));
    await at.terminate(session);
    await session.prove(holding(), call());
    const { count } = await at.row<{ count: number }>(
      `select count(*)::int as count from pg_locks l join $schema.session s
          on l.classid = ((s.life >> 32) & 4294967295)::oid and l.objid = (s.life & 4294967295)::oid where l.locktype = 'advisory'`,
    );
    expect(count).toBe(1);
  });
});

describe("promise 1: one at a time", () => {
  test("eight processes claim the same elections at once, also those of a dead one: each is granted once", async () => {
    const at = await store();
    const names = Array.from({ length: 30 }, (_, nth) => `election-${nth}`);
    const processes = await Promise.all(Array.from({ length: 8 }, async () => at.open({ ttlMs: 20_000 })));
    let before: readonly bigint[] = names.map(() => 0n);
    for (let round = 0; round < 4; round++) {
      const bids = processes.map(() => names.map((name) => bid(name)));
      const answers = await Promise.all(
        processes.map(async ({ session }, nth) => session.claim(bids[nth] ?? [], call())),
      );
      const granted = names.map((_, index) =>
        answers.flatMap((each) => {
          const answer = each[index];
          return answer?.kind === "granted" ? [answer.token] : [];
        }),
      );
      expect(granted.map(({ length }) => length)).toEqual(names.map(() => 1));
      const tokens = granted.flat();
      expect(tokens.every((token, index) => token > (before[index] ?? 0n))).toBe(true);
      before = tokens;
      // Half of the winners end, half crash; others take their places.
      for (const [nth, one] of processes.entries()) {
        if (nth % 2 === 0) await one.session.end(call());
        else await crash(at, one);
        processes[nth] = await at.open({ ttlMs: 20_000 });
      }
    }
  });
});

describe("S3 a claim is not a proof", () => {
  test("it extends nothing", async () => {
    const at = await store();
    const { session } = await at.open();
    const lease = async (): Promise<unknown> =>
      at.row("select lease, renewals from $schema.session where id = $1", [session.id]);
    const before = await lease();
    await grant(session, bid("x"));
    expect(await lease()).toEqual(before);
  });

  test("a session that is being declared dead right now is granted nothing", async () => {
    const at = await store();
    // A long TTL, as a share of it is the longest that a statement waits for a lock.
    const [{ session, adapter }, other] = [await at.open({ ttlMs: 20_000 }), await at.open()];
    const [request, first] = [bid("x"), bid("x")];
    await grant(other.session, first);
    await claim(session, request);
    await other.session.release([first], call());
    const burying = await client(server.url);
    await burying.query("begin");
    await burying.query(`update "${at.schema}".session set dead = true where id = $1`, [session.id]);
    const claiming = claim(session, request);
    claiming.catch(() => {});
    await untilBlocked(at, "the claim");
    await burying.query("commit");
    await expect(claiming).rejects.toThrow("The session is dead");
    expect(await adapter.read("x", call())).toBeNull();
  });

  test("a dead session is granted nothing", async () => {
    const at = await store();
    const { session, adapter } = await at.open();
    await at.rows("update $schema.session set dead = true");
    await expect(claim(session, bid("x"))).rejects.toThrow("The session is dead");
    expect(await adapter.read("x", call())).toBeNull();
    expect(await at.rows("select from $schema.waiter")).toHaveLength(0);
  });
});

describe("S4 no late ghosts", () => {
  test("the hazard: a claim that carries no generation is executed after it was disposed of", async () => {
    const at = await store();
    const { proxy, url } = await at.through();
    const { session } = await at.open();
    await session.claim([bid("other")], call());
    await at.rows("insert into $schema.election (name) values ('ghostly')");
    const naive = await client(url);
    const held = proxy.once(
      ({ direction, bytes }) => direction === "up" && bytes.includes("ghostly"),
      "hold",
    );
    naive
      .query(
        `update "${at.schema}".election e set session = $1, nonce = $2, token = 1, candidate = 'c', metadata = '{}', ttl_ms = 1500
          where name = 'ghostly' and session is null and exists (select from "${at.schema}".session where id = $1 and not dead)`,
        [session.id, nonce()],
      )
      .catch(() => {});
    const { connection } = await held.seen;
    naive.connection.stream.destroy();
    // What a disposal can do without raising a generation: see to it that there is nothing now.
    expect(
      await at.rows("select from $schema.election where name = 'ghostly' and session is not null"),
    ).toEqual([]);
    connection.heal();
    await eventually("the ghost leads", async () => {
      const ghosts = await at.rows("select from $schema.election where name = 'ghostly' and session = $1", [
        session.id,
      ]);
      return ghosts.length === 1;
    });
  });

  test.each(["first", "second"])(
    "the %s statement of a claim, delivered after it was disposed of, does nothing",
    async (which) => {
      const at = await store();
      const { proxy, url } = await at.through();
      const [a, b] = [await at.open({ url }), await at.open()];
      const request = bid("ghostly");
      const old = await at.lifeHolder(a.session);
      // `join` comes first; the second time round there is only `claim`.
      let nth = which === "first" ? 1 : 2;
      const held = proxy.once(
        ({ direction, bytes }) => direction === "up" && bytes.includes("ghostly") && --nth === 0,
        "hold",
      );
      const given = new AbortController();
      const claiming = a.session.claim([request], { signal: given.signal, timeoutMs: 5000 });
      const { connection } = await within("the claim is on its way", held.seen);
      given.abort(new Error("too late"));
      await expect(claiming).rejects.toThrow("too late");
      await a.session.dispose([request], call());
      // As if somebody else were about to claim it: a vacant row, for the ghost to take.
      await at.rows("insert into $schema.election (name) values ('ghostly') on conflict do nothing");
      connection.heal();
      // The statement was delivered before the hang-up, so it has been executed when that process is gone.
      await eventually("the old connection is over", async () => {
        return (await at.rows("select from pg_stat_activity where pid = $1", [old])).length === 0;
      });
      expect(await at.rows("select from $schema.waiter")).toHaveLength(0);
      expect(await a.adapter.read("ghostly", call())).toBeNull();
      await grant(b.session, bid("ghostly"));
      expect(await a.session.prove(holding(), call())).toMatchObject({ kind: "alive", lost: [] });
    },
  );

  test("a statement of a connection that is no longer the session's own is refused", async () => {
    const at = await store();
    const { session } = await at.open();
    const old = await client(server.url);
    const { life } = await at.row<{ life: string }>("select life::text from $schema.session where id = $1", [
      session.id,
    ]);
    await old.query("select set_config('elect.life', $1, false), set_config('elect.timeline', '1', false)", [
      life,
    ]);
    await at.terminate(session);
    await session.prove(holding(), call());
    const values = [session.id, ["x"], [nonce()], ["c"], ["{}"]];
    await old.query(at.sql.join.few, values);
    const { rows } = await old.query<{ alive: string }>(at.sql.claim.few, [...values, 1500]);
    expect(rows).toMatchObject([{ alive: "0" }]);
    expect((await old.query<{ alive: string }>(at.sql.prove, [session.id, 1500, false])).rows).toMatchObject([
      { alive: "0" },
    ]);
    expect(await at.rows("select from $schema.waiter")).toHaveLength(0);
  });
});

describe("S5 third parties are noticed by the next proof", () => {
  test("a record that was deleted, or is another's", async () => {
    const at = await store();
    const { session } = await at.open();
    const bids = [bid("x"), bid("y"), bid("z")];
    await session.claim(bids, call());
    await at.rows("delete from $schema.election where name = 'x'");
    await at.rows("update $schema.election set nonce = 'somebody', token = token + 1 where name = 'y'");
    const proof = await session.prove(holding(...bids), call());
    expect(proof).toMatchObject({ kind: "alive" });
    expect(proof.kind === "alive" && proof.lost.map(({ election }) => election)).toEqual(["x", "y"]);
    expect(await session.prove(holding(bids[2] ?? bid("z")), call())).toMatchObject({
      kind: "alive",
      lost: [],
    });
  });

  test.each([
    ["the session's row was deleted", "delete from $schema.session"],
    ["the tables were dropped", "drop schema $schema cascade"],
  ])("%s", async (_, deed) => {
    const at = await store();
    const { session } = await at.open();
    await at.rows(deed);
    expect(await session.prove(holding(), call())).toMatchObject({ kind: "dead" });
  });

  test("tokens go on rising after the tables were dropped and made again", async () => {
    const at = await store();
    const before = await grant((await at.open()).session, bid("x"));
    await at.rows("drop schema $schema cascade");
    expect(await grant((await at.open()).session, bid("x"))).toBeGreaterThan(before);
  });
});

describe("S6 who cleans up", () => {
  test("whoever opens a session clears away after crashed ones, and only after those", async () => {
    const at = await store();
    const [gone, living] = [await at.open({ ttlMs: 500 }), await at.open()];
    await gone.session.claim([bid("x"), bid("y")], call());
    await grant(living.session, bid("z"));
    await claim(living.session, bid("y"));
    await claim(gone.session, bid("z"));
    await crash(at, gone);
    await at.rows("update $schema.session set lease = lease - interval '1 s' where id = $1", [
      gone.session.id,
    ]);
    const late = await at.open();
    const sessions = await at.rows<{ id: string }>("select id from $schema.session");
    expect(sessions.map(({ id }) => id).toSorted()).toEqual([living.session.id, late.session.id].toSorted());
    expect(await at.rows("select name, session from $schema.election order by name")).toEqual([
      { name: "y", session: null },
      { name: "z", session: living.session.id },
    ]);
    expect(await at.rows("select election, session from $schema.waiter")).toEqual([
      { election: "y", session: living.session.id },
    ]);
    expect(await living.heard.next("hint")).toBe("hint y");
  });

  test("a session that ends leaves nothing but the counter", async () => {
    const at = await store();
    const { session } = await at.open();
    await session.claim([bid("x"), bid("y")], call());
    await session.end(call());
    for (const table of ["session", "election", "waiter"])
      expect(await at.rows(`select from $schema.${table}`), table).toEqual([]);
  });

  test("a missing session is a lease that is over, and no lock that is free", async () => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    const token = await grant(a.session, bid("x"));
    await at.rows("delete from $schema.session where id = $1", [a.session.id]);
    const request = bid("x");
    const answer = await claim(b.session, request);
    expect(answer).toMatchObject({ kind: "held", by: { token }, patience: { leaseMs: 1500 } });
    const version = (answer.kind === "held" && answer.patience?.version) || "";
    expect(await grant(b.session, { ...request, unchanged: version })).toBeGreaterThan(token);
  });
});

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
    "who leads 1,000 elections %s: the waiter is told in a few messages, and hears of each",
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
      await eventually("it hears of each", () => b.heard.all.length === 1000);
      expect(new Set(b.heard.all)).toEqual(new Set(bids.map(({ election }) => `hint ${election}`)));
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
      const row = { ...rows[0], lease: "1000" };
      const { answer } = read(row, request, session.id);
      places.push((answer.kind === "held" && answer.retryInMs) || 0);
    }
    expect(places).toEqual([1015, 1030, 1045]);
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
      expect(answer).toMatchObject({ kind: "held", patience: { leaseMs: 1500 } });
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
      ttlMs: 1500,
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

describe("calls", () => {
  test("release, dispose and end may be repeated, and are no-ops for what is gone", async () => {
    const at = await store();
    const { session, adapter } = await at.open();
    const request = bid("x");
    await grant(session, request);
    for (const how of ["release", "release", "dispose"] as const)
      await session[how]([request, bid("never claimed")], call());
    await adapter.end(session.ticket, call());
    await adapter.end(session.ticket, call());
    expect(await session.prove(holding(), call())).toMatchObject({ kind: "dead" });
    await session.release([request], call());
    await session.end(call());
    await adapter.end("nobody", call());
  });

  test("a release lets go of its own term only", async () => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    const [bidOfA, bidOfB] = [bid("x"), bid("x")];
    const token = await grant(a.session, bidOfA);
    await b.session.release([{ ...bidOfA }], call());
    await a.session.release([bidOfB], call());
    expect(await a.adapter.read("x", call())).toMatchObject({ token });
  });

  test("the leader, the candidates in waiting order, and nobody once leases are over", async () => {
    const at = await store();
    const [a, b, c] = [await at.open(), await at.open(), await at.open()];
    const named = (id: string) => bid("x", { candidate: { id, metadata: `{"of":"${id}"}` } });
    const token = await grant(a.session, named("a"));
    await claim(b.session, named("b"));
    await claim(c.session, named("c"));
    expect(await a.adapter.read("x", call())).toEqual({ id: "a", metadata: '{"of":"a"}', token });
    expect((await a.adapter.candidates("x", call())).map(({ id }) => id)).toEqual(["a", "b", "c"]);
    await at.expire(a.session);
    await at.expire(b.session);
    expect(await a.adapter.read("x", call())).toBeNull();
    expect((await a.adapter.candidates("x", call())).map(({ id }) => id)).toEqual(["c"]);
  });

  test("a watcher hears of each change of its election, and of a gap in its hearing", async () => {
    const at = await store();
    const { session } = await at.open();
    const onlooker = at.adapter();
    let heard = (): void => {};
    const next = async (): Promise<void> => new Promise((resolve) => (heard = resolve));
    const watch = await onlooker.watch("x", () => heard(), call());
    let changed = next();
    const request = bid("x");
    for (const deed of [
      async () => grant(session, request),
      async () => session.release([request], call()),
    ]) {
      changed = next();
      await deed();
      await within("the change is heard", changed);
    }
    changed = next();
    await at.rows("select pg_terminate_backend(pid) from pg_stat_activity where query = $1", [
      `select pg_advisory_lock_shared(${onlookersKey(at.schema)})`,
    ]);
    await within("the gap is heard", changed);
    watch.close();
  });

  test("who asks does not listen; who watches does, until nobody watches any more", async () => {
    const at = await store();
    const { session } = await at.open();
    const onlooker = at.adapter();
    const listeners = async (): Promise<number> =>
      (
        await at.rows(
          `select from pg_locks where locktype = 'advisory' and granted
              and classid = (($1::bigint >> 32) & 4294967295)::oid and objid = ($1::bigint & 4294967295)::oid`,
          [onlookersKey(at.schema).toString()],
        )
      ).length;
    await grant(session, bid("x"));
    expect(await onlooker.read("x", call())).not.toBeNull();
    expect(await listeners()).toBe(0);
    const watches = [
      await onlooker.watch("x", () => {}, call()),
      await onlooker.watch("y", () => {}, call()),
    ];
    expect(await listeners(), "one connection for all watchers").toBe(1);
    watches[0]?.close();
    await onlooker.read("x", call());
    expect(await listeners()).toBe(1);
    // While an answer is awaited the connection is not hung up on.
    const asked = onlooker.candidates("x", call());
    watches[1]?.close();
    expect(await asked).toHaveLength(1);
    await eventually("nobody listens", async () => (await listeners()) === 0);
    expect(await onlooker.read("x", call())).not.toBeNull();
    expect(await listeners()).toBe(0);
  });

  test("the first release of a session finds its plan made", async () => {
    const at = await store();
    const { proxy, url } = await at.through();
    const { session } = await at.open({ url });
    const request = bid("x");
    await grant(session, request);
    const [parse, bind] = ["P".charCodeAt(0), "B".charCodeAt(0)];
    const sent: (number | undefined)[] = [];
    proxy.observe(({ direction, bytes }) => {
      if (direction === "up" && bytes.includes(request.nonce)) sent.push(bytes[0]);
    });
    await session.release([request], call());
    expect(sent).toEqual([bind]);
    // Where it is not: what is asked for the first time is parsed.
    await session.claim(
      Array.from({ length: 11 }, () => ({ ...bid("y"), nonce: `${request.nonce}${nonce()}` })),
      call(),
    );
    expect(sent[1]).toBe(parse);
  });

  test("nobody has ever been a candidate: no tables, no leader", async () => {
    const at = await store();
    const adapter = at.adapter();
    expect([await adapter.read("x", call()), await adapter.candidates("x", call())]).toEqual([null, []]);
    await adapter.end("nobody", call());
  });

  test("1,000 elections: two statements to lead them all, one to prove them, one to let them go", async () => {
    const at = await store();
    const { proxy, url } = await at.through();
    const { session } = await at.open({ url, ttlMs: 10_000 });
    let statements = 0;
    proxy.observe(({ direction, bytes }) => {
      if (direction === "up" && (bytes.includes("with ") || bytes.includes("update "))) statements++;
    });
    const bids = Array.from({ length: 1000 }, (_, nth) => bid(`election-${nth}`));
    const answers = await session.claim(bids, call());
    expect(answers.every(({ kind }) => kind === "granted")).toBe(true);
    await session.prove(holding(...bids), call());
    await session.release(bids, call());
    expect(statements).toBeLessThanOrEqual(6);
  });
});
