import type { Claim } from "@elect/core/adapter";
import type { FaultProxy } from "@elect/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { burialsKey } from "../src/channels.ts";
import {
  bid,
  call,
  claim,
  client,
  eventually,
  grant,
  holding,
  pass,
  sharedServer,
  Store,
  within,
  type Process,
} from "./support.ts";

const server = await sharedServer();
const store = async (): Promise<Store> => Store.on(server.url);

describe("PG: liveness and loss", () => {
  test('PG-1 takeover "connection": the death of a connection is known to the next in the ring, and one candidate is woken', async () => {
    const at = await store();
    const leader = await at.open({ takeover: "connection", ttlMs: 60_000 });
    const request = bid("x");
    await grant(leader.session, request);
    const waiters = [
      await at.open({ takeover: "connection", ttlMs: 60_000 }),
      await at.open({ takeover: "connection", ttlMs: 60_000 }),
    ];
    const bids = [bid("x"), bid("x")];
    for (const [nth, { session }] of waiters.entries()) await claim(session, bids[nth] ?? bid("x"));
    await ringIsClosed(at, 3);
    leader.session.abandon();
    const [first, second] = waiters;
    await within("the first in the queue is woken", first?.heard.next("hint x") ?? Promise.resolve(""), 1000);
    expect(await claim(first?.session ?? leader.session, bids[0] ?? request)).toMatchObject({
      kind: "granted",
    });
    expect(second?.heard.all).toEqual([]);
  });

  test('PG-1 takeover "connection": a newcomer makes one other look again, and then it is quiet', async () => {
    const at = await store();
    for (let nth = 0; nth < 5; nth++) await at.open({ takeover: "connection", ttlMs: 60_000 });
    await ringIsClosed(at, 5);
    // Those that were left behind are noticed within a second; from then on nothing changes.
    let before = "";
    await eventually("one waits for each, and the same ones a second later", async () => {
      const now = await watchers(at);
      const quiet = now.length === 5 && now.join() === before;
      before = now.join();
      if (!quiet) await pass(1000);
      return quiet;
    });
  });

  test('PG-1 takeover "connection": two that die together, watcher and watched', async () => {
    const at = await store();
    const [a, b, c] = await ringOfFour(at);
    await grant(b.session, bid("x"));
    await claim(c.session, bid("x"));
    await ringIsClosed(at, 4);
    // `a` watches `b`, and its own watcher has to come to `b`.
    a.session.abandon();
    b.session.abandon();
    await within("the waiter is woken", c.heard.next("hint x"), 1000);
    await ringIsClosed(at, 2);
  });

  test.each([
    [
      "dies",
      async (at: Store, { session }: Process) => {
        await at.terminate(session);
        await eventually("it is buried", async () => at.dead(session));
      },
    ],
    ["withdraws", async (_: Store, { session }: Process, claim: Claim) => session.release([claim], call())],
    ["closes", async (_: Store, { session }: Process) => session.end(call())],
  ])('PG-1 takeover "connection": the next in line %s while the leader is being buried', async (_, leave) => {
    const at = await store();
    // The first watches the leader, and is no candidate.
    const [, leader, last, next] = await ringOfFour(at);
    await grant(leader.session, bid("x"));
    const place = bid("x");
    await claim(next.session, place);
    await claim(last.session, bid("x"));
    await ringIsClosed(at, 4);
    // The burial of the leader has begun, and has seen the next in line alive.
    const inTheWay = await client(server.url);
    await inTheWay.query("begin");
    await inTheWay.query(`select from "${at.schema}".session where id = $1 for update`, [leader.session.id]);
    await at.terminate(leader.session);
    const awaited = async (lock: string): Promise<boolean> =>
      (await at.rows(`select from pg_locks where not granted and ${lock}`)).length > 0;
    await eventually("the burial waits for the row", async () => awaited("locktype = 'transactionid'"));
    let gone = false;
    const going = leave(at, next, place).then(() => (gone = true));
    const turn = `(classid::bigint << 32 | objid::bigint) = ${burialsKey(at.schema)}`;
    await eventually("it is gone, or waits for the burial to end", async () => gone || awaited(turn));
    await inTheWay.query("commit");
    await going;
    await within("the last one is woken", last.heard.next("hint x"), 2000);
  });

  test('PG-1 takeover "connection": a watcher that hangs when the one it watches dies', async () => {
    const at = await store();
    const [a, b, c] = await ringOfFour(at);
    await grant(b.session, bid("x"));
    await claim(c.session, bid("x"));
    await ringIsClosed(at, 4);
    // `a` watches `b`: the server has been told what to do then, and does not need it any more.
    a.proxy.silence("both");
    b.session.abandon();
    await within("the waiter is woken", c.heard.next("hint x"), 1000);
  });

  test('PG-1 takeover "connection": a leader that has to give up its connection knows before the server does', async () => {
    const at = await store();
    const { proxy, url } = await at.through();
    const { session, heard } = await at.open({ url, takeover: "connection" });
    await grant(session, bid("x"));
    proxy.silence("down");
    const proof = session.prove(holding(), call(100));
    await expect(proof).rejects.toThrow("timeout");
    // In the same breath as the connection was given up.
    expect(heard.all).toEqual([expect.stringContaining("ended its connection is gone")]);
    expect(await session.prove(holding(), call())).toMatchObject({ kind: "dead" });

    const reset = await at.open({ takeover: "connection" });
    await at.terminate(reset.session);
    await reset.heard.next("ended its connection is gone");
  });

  test('PG-1 takeover "connection" is the leader\'s own choice', async () => {
    const at = await store();
    const leader = await at.open();
    await grant(leader.session, bid("x"));
    const challenger = await at.open({ takeover: "connection" });
    await at.terminate(leader.session);
    expect(await claim(challenger.session, bid("x"))).toMatchObject({ kind: "held" });
  });

  test.each([
    [
      "PG-2 a stopped process, whose kernel goes on answering,",
      false,
      "doubt terminating connection due to idle-session timeout",
    ],
    ["PG-3 a process behind a link that is silent", true, undefined],
  ])("%s loses its session by the server's own clock", async (_, silent, heard) => {
    const at = await store();
    const { proxy, url } = await at.through();
    const [a, b] = [await at.open({ url, ttlMs: 600 }), await at.open()];
    const since = performance.now();
    expect(await a.session.prove(holding(), call())).toMatchObject({ kind: "alive" });
    const proven = performance.now();
    await grant(a.session, bid("x"));
    // A stopped process says nothing more, and that is all the server sees of it.
    if (silent) proxy.silence();
    const request = bid("x");
    for (;;) {
      const answer = await claim(b.session, request);
      if (answer.kind === "granted") break;
      await pass((answer.kind === "held" && answer.retryInMs) || 600);
    }
    expect(performance.now() - since, "not before the lease is over").toBeGreaterThan(600);
    expect(performance.now() - proven, "TTL + 400 ms").toBeLessThan(1000);
    expect(a.heard.all[0]).toBe(heard);
  });

  test("A5.2 waiting, PG-4 a waiter that was cut off neither wins nor stands in the way", async () => {
    const at = await store();
    const { proxy, url } = await at.through();
    const leader = await at.open();
    const request = bid("x");
    await grant(leader.session, request);
    const zombie = await at.open({ url });
    await claim(zombie.session, bid("x"));
    const b = await at.open();
    await claim(b.session, bid("x"));
    proxy.silence();
    await leader.session.release([request], call());
    // The wake-up went to the zombie, first in the queue. The next proof of anybody who waits finds out.
    await b.session.prove(holding(), call());
    await b.heard.next("hint x");
    expect(await claim(b.session, bid("x"))).toMatchObject({ kind: "granted" });
    proxy.heal();
    expect(await claim(zombie.session, bid("x"))).toMatchObject({ kind: "held" });
  });

  test("PG-5 a cancelled proof is an unknown outcome, and no loss", async () => {
    const at = await store();
    const { session } = await at.open({ ttlMs: 20_000 });
    const blocker = await client(server.url);
    await blocker.query("begin");
    await blocker.query(`select from "${at.schema}".session for update`);
    const proof = session.prove(holding(), call());
    proof.catch(() => {});
    const pid = await at.lifeHolder(session);
    await eventually(
      "the proof waits",
      async () =>
        (await at.rows("select from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'", [pid]))
          .length > 0,
    );
    await at.rows("select pg_cancel_backend($1)", [pid]);
    await expect(proof).rejects.toThrow("canceling statement");
    await blocker.query("rollback");
    expect(await session.prove(holding(), call())).toMatchObject({ kind: "alive" });
    expect(await at.lifeHolder(session), "the same connection").toBe(pid);
  });

  test("PG-6 a claim given up on a stalled link leaks neither lock nor record", async () => {
    const at = await store();
    const { proxy, url } = await at.through();
    const { session } = await at.open({ url, ttlMs: 600 });
    proxy.silence("down");
    await expect(session.claim([bid("x")], call(100))).rejects.toThrow("timeout");
    session.abandon();
    const other = await at.open();
    await eventually("the lock is free", async () => (await at.lifeHolder(session)) === null);
    await pass(400);
    expect(await claim(other.session, bid("x"))).toMatchObject({ kind: "granted" });
  });

  test("A5.2 re-entrancy, PG-7 locks stack, so ours is taken once for each key and never again", async () => {
    const plain = await client(server.url);
    for (let twice = 0; twice < 2; twice++) await plain.query("select pg_try_advisory_lock(42)");
    await plain.query("select pg_advisory_unlock(42)");
    const held = await plain.query(
      "select from pg_locks where locktype = 'advisory' and objid = 42 and pid = pg_backend_pid()",
    );
    expect(held.rows, "one unlock does not free it").toHaveLength(1);

    const at = await store();
    const { session } = await at.open();
    const keys = new Set<string>();
    for (let nth = 0; nth < 3; nth++) {
      keys.add((await at.row<{ life: string }>("select life::text from $schema.session")).life);
      await at.terminate(session);
      await session.prove(holding(), call());
    }
    expect(keys.size).toBe(3);
  });

  test("PG-12 an administrator's time-outs and modes are overridden for the session", async () => {
    const at = await store();
    const role = `role_${at.schema}`;
    await at.rows(`create role ${role} superuser login password 'secret'`);
    onTestFinished(
      async () =>
        void (
          await at.rows(`drop owned by ${role}`).catch(() => {}),
          await at.rows(`drop role ${role}`).catch(() => {})
        ),
    );
    const low = {
      idle_session_timeout: "50ms",
      statement_timeout: "40ms",
      lock_timeout: "1ms",
      idle_in_transaction_session_timeout: "50ms",
      transaction_timeout: "50ms",
    };
    const odd = {
      synchronous_commit: "off",
      default_transaction_isolation: "serializable",
      search_path: "nowhere",
      client_min_messages: "debug1",
      DateStyle: "German",
      bytea_output: "escape",
      extra_float_digits: "-15",
    };
    for (const [name, value] of Object.entries(odd))
      await at.rows(`alter role ${role} set ${name} = '${value}'`);
    const url = new URL(at.url);
    [url.username, url.password] = [role, "secret"];
    const a = await at.open({ url: url.href });
    const request = bid("x");
    for (const [name, value] of Object.entries(low))
      await at.rows(`alter role ${role} set ${name} = '${value}'`);
    const b = await at.open({ url: url.href });
    const token = await grant(b.session, request);
    await pass(120);
    for (const { session } of [a, b])
      expect(await session.prove(holding(), call())).toMatchObject({ kind: "alive", lost: [] });
    expect([...a.heard.all, ...b.heard.all]).toEqual([]);
    expect(await b.adapter.read("x", call())).toMatchObject({ token });
    await pass(120);
    expect(await b.adapter.read("x", call())).toMatchObject({ token });
  });

  test("PG-12 a server that is set to read only is refused", async () => {
    const at = await store();
    const role = `role_${at.schema}`;
    await at.rows(`create role ${role} superuser login password 'secret'`);
    onTestFinished(async () => void (await at.rows(`drop role ${role}`).catch(() => {})));
    await at.rows(`alter role ${role} set default_transaction_read_only = on`);
    const url = new URL(at.url);
    [url.username, url.password] = [role, "secret"];
    await expect(at.open({ url: url.href })).rejects.toMatchObject({
      refusal: "standby",
      message: expect.stringContaining("read only") as string,
    });
  });

  test("A5.2 names, PG-15 names are kept whole: no two of them meet in a hash", async () => {
    const at = await store();
    const { session } = await at.open();
    const names = [
      "a",
      "A",
      "a ",
      "\u00e5",
      "a\u030a",
      "\uff41",
      "x".repeat(200),
      `${"x".repeat(199)}y`,
      "'",
      '"',
      "\\",
      "{},",
      "NULL",
      "null",
    ];
    const answers = await session.claim(
      names.map((name) => bid(name)),
      call(),
    );
    expect(answers.every(({ kind }) => kind === "granted")).toBe(true);
    expect(
      (await at.rows<{ name: string }>("select name from $schema.election"))
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(names.toSorted());
  });

  test("PG-16 a schema is a world of its own, and the store's name says which one it is", async () => {
    const [one, other] = [await store(), await store()];
    const [a, b] = [await one.open(), await other.open()];
    await grant(a.session, bid("x"));
    await grant(b.session, bid("x"));
    const { system_identifier: cluster } = await one.row<{ system_identifier: string }>(
      "select system_identifier::text from pg_control_system()",
    );
    expect(a.session.store).toBe(`${cluster}/postgres/${one.schema}`);
    expect(b.session.store).toBe(`${cluster}/postgres/${other.schema}`);
  });

  test("PG-18 claims in opposite orders, joined and taken at once, never deadlock", async () => {
    const at = await store();
    const { deadlocks } = await at.row<{ deadlocks: string }>(
      "select deadlocks from pg_stat_database where datname = current_database()",
    );
    const names = Array.from({ length: 40 }, (_, nth) => `election-${nth}`);
    const processes = [await at.open(), await at.open(), await at.open()];
    for (let round = 0; round < 5; round++) {
      const won = await Promise.all(
        processes.map(async ({ session }, nth) => {
          const bids = (nth % 2 === 0 ? names : names.toReversed()).map((name) => bid(`${round}-${name}`));
          const answers = await session.claim(bids, call());
          await session.release(bids, call());
          return answers.filter(({ kind }) => kind === "granted").length;
        }),
      );
      expect(won.reduce((sum, each) => sum + each)).toBeGreaterThanOrEqual(names.length);
    }
    expect(await at.row("select deadlocks from pg_stat_database where datname = current_database()")).toEqual(
      { deadlocks },
    );
  });
});

/** Who waits for the life lock of a session: `session process`. */
async function watchers(at: Store): Promise<string[]> {
  const rows = await at.rows<{ watcher: string }>(
    `select s.id || ' ' || l.pid as watcher from $schema.session s
       join pg_locks l on l.locktype = 'advisory' and l.mode = 'ShareLock' and not l.granted
        and l.classid = ((s.life >> 32) & 4294967295)::oid and l.objid = (s.life & 4294967295)::oid
      where not dead order by 1`,
  );
  return rows.map(({ watcher }) => watcher);
}

/** Each behind a link of its own, in the order in which one watches the next. */
async function ringOfFour(at: Store): Promise<[Linked, Linked, Linked, Linked]> {
  const open = async (): Promise<Linked> => {
    const { proxy, url } = await at.through();
    return { ...(await at.open({ url, takeover: "connection", ttlMs: 60_000 })), proxy };
  };
  const ring: [Linked, Linked, Linked, Linked] = [await open(), await open(), await open(), await open()];
  ring.sort((one, other) => (one.session.id < other.session.id ? -1 : 1));
  return ring;
}

interface Linked extends Process {
  readonly proxy: FaultProxy;
}

/** Until each of so many sessions is waited for by another. */
async function ringIsClosed(at: Store, sessions: number): Promise<void> {
  await eventually("the ring is closed", async () => {
    const watched = new Set((await watchers(at)).map((watcher) => watcher.split(" ")[0]));
    return watched.size === sessions;
  });
}
