/** The rules of sessions (S2 to S6 in port.ts; S1 is in death.test.ts), each forced at the point where it could be broken. */

import { describe, expect, test } from "vitest";
import {
  bid,
  call,
  claim,
  client,
  crash,
  eventually,
  grant,
  holding,
  nonce,
  sharedServer,
  Store,
  ttl,
  untilBlocked,
  within,
} from "./support.ts";

const server = await sharedServer();
const store = async (): Promise<Store> => Store.on(server.url);

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

  test("the hazard: a claim that only looks at its session is granted to one that is being declared dead", async () => {
    const at = await store();
    const { session } = await at.open();
    await at.rows("insert into $schema.election (name) values ('x')");
    const burying = await client(server.url);
    await burying.query("begin");
    await burying.query(`update "${at.schema}".session set dead = true where id = $1`, [session.id]);
    const taken = await at.rows(
      `update $schema.election set session = $1, nonce = $2, token = 1, candidate = 'c', metadata = '{}', ttl_ms = 1500
        where name = 'x' and session is null and exists (select from $schema.session where id = $1 and not dead)
        returning name`,
      [session.id, nonce()],
    );
    await burying.query("commit");
    expect(taken, "granted, before the death is known to anybody").toEqual([{ name: "x" }]);
    expect(await at.dead(session)).toBe(true);
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
    expect(rows[0]).toMatchObject({ alive: "0", granted: null });
    expect((await old.query<{ alive: string }>(at.sql.prove, [session.id, 1500, false])).rows).toMatchObject([
      { alive: "0" },
    ]);
    expect(await at.rows("select from $schema.waiter")).toHaveLength(0);
  });
});

describe("S5 third parties are noticed by the next proof", () => {
  test("the hazard: a proof of the session alone says that it lives, whoever has its elections", async () => {
    const at = await store();
    const { session } = await at.open();
    await grant(session, bid("x"));
    await at.rows("update $schema.election set nonce = 'somebody', token = token + 1");
    const renewed = await at.rows(
      "update $schema.session set renewals = renewals + 1 where id = $1 and not dead returning id",
      [session.id],
    );
    expect(renewed).toEqual([{ id: session.id }]);
  });

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

  test("the hazard: who takes a missing session for a free lock takes from one that has just proven itself", async () => {
    const at = await store();
    const { session } = await at.open();
    await grant(session, bid("x"));
    expect(await session.prove(holding(), call())).toMatchObject({ kind: "alive" });
    await at.rows("delete from $schema.session");
    const taken = await at.rows(
      `update $schema.election e set session = 'rival', token = token + 1
        where name = 'x' and not exists (select from $schema.session s where s.id = e.session and not s.dead)
        returning name`,
    );
    expect(taken, "at once, while the lease of the other runs").toEqual([{ name: "x" }]);
  });

  test("a missing session is a lease that is over, and no lock that is free", async () => {
    const at = await store();
    const [a, b] = [await at.open(), await at.open()];
    const token = await grant(a.session, bid("x"));
    await at.rows("delete from $schema.session where id = $1", [a.session.id]);
    const request = bid("x");
    const answer = await claim(b.session, request);
    expect(answer).toMatchObject({ kind: "held", by: { token }, patience: { leaseMs: ttl } });
    const version = (answer.kind === "held" && answer.patience?.version) || "";
    expect(await grant(b.session, { ...request, unchanged: version })).toBeGreaterThan(token);
  });
});
