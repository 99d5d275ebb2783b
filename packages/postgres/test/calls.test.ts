/** Calls and what they say: repeated, of onlookers, and how many statements they take. */

import type { ClaimRequest } from "@elect/core/adapter";
import type { Passing } from "@elect/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { onlookersKey } from "../src/channels.ts";
import {
  bid,
  call,
  claim,
  eventually,
  grant,
  holding,
  nonce,
  sharedServer,
  Store,
  within,
} from "./support.ts";

const server = await sharedServer();
const store = async (): Promise<Store> => Store.on(server.url);

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

  test("1,000 elections: one statement to queue, two to lead them all, one to prove them, one to let them go", async () => {
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

describe("a thousand elections are claimed in two halves", () => {
  const all = Array.from({ length: 1000 }, (_, nth) => nth);
  const firstHalf = all.slice(0, 500);

  /** A session that waits for all of them, of which the last has just let go; and what the server is told from now on. */
  const waiting = async () => {
    const at = await store();
    const { proxy, url } = await at.through();
    const [leader, { session, adapter }] = [await at.open(), await at.open({ url })];
    const bids = all.map((nth) => bid(`election-${nth}`));
    const theirs = bids.map(({ election }) => bid(election));
    await leader.session.claim(theirs, call());
    await session.claim(bids, call());
    await leader.session.release(theirs, call());
    // One alone might be cut in two on its way.
    const goesUp =
      (some: readonly ClaimRequest[]) =>
      ({ direction, bytes }: Passing): boolean =>
        direction === "up" && some.some((request) => bytes.includes(request.nonce));
    const [isFirst, isSecond] = [goesUp(bids.slice(0, 20)), goesUp(bids.slice(-20))];
    return { at, proxy, session, adapter, bids, isFirst, isSecond };
  };

  test("the first is told while the server is at the second", async () => {
    const { proxy, session, bids, isSecond } = await waiting();
    const second = proxy.once(isSecond, "hold");
    const warned: Error[] = [];
    const warn = (warning: Error): void => void warned.push(warning);
    process.on("warning", warn);
    onTestFinished(() => void process.off("warning", warn));
    const told: number[] = [];
    const claiming = session.claim(bids, call(), (index, { kind }) => {
      if (kind === "granted") told.push(index);
    });
    const { connection } = await within("the second is on its way", second.seen);
    await eventually("the first is told", async () => told.length === 500);
    expect(told).toEqual(firstHalf);
    connection.heal();
    expect((await claiming).map(({ kind }) => kind)).toEqual(all.map(() => "granted"));
    expect(told).toEqual(all);
    expect(warned, "of the driver").toEqual([]);
  });

  test("the first stands when the call's time is up; of the second nothing is told, and its ghost does nothing", async () => {
    const { at, proxy, session, adapter, bids, isSecond } = await waiting();
    const second = proxy.once(isSecond, "hold");
    const told: number[] = [];
    const given = new AbortController();
    const claiming = session.claim(bids, { signal: given.signal, timeoutMs: 5_000 }, (index) => {
      told.push(index);
    });
    claiming.catch(() => {});
    const { connection } = await within("the second is on its way", second.seen);
    await eventually("the first is told", async () => told.length === 500);
    const old = await at.lifeHolder(session);
    given.abort(new Error("too late"));
    await expect(claiming).rejects.toThrow("too late");
    await session.dispose(bids.slice(500), call());
    connection.heal();
    await eventually("the old connection is over", async () => {
      return (await at.rows("select from pg_stat_activity where pid = $1", [old])).length === 0;
    });
    const lead = bids.slice(0, 500);
    expect(await session.prove(holding(...lead), call())).toMatchObject({ kind: "alive", lost: [] });
    expect(await adapter.read("election-999", call())).toBeNull();
    expect(told).toEqual(firstHalf);
  });

  test("the second does not follow a first that failed", async () => {
    const { at, proxy, session, bids, isFirst, isSecond } = await waiting();
    const sent = { first: 0, second: 0 };
    proxy.observe((passing) => {
      if (isFirst(passing)) sent.first++;
      if (isSecond(passing)) sent.second++;
    });
    await at.rows("drop sequence $schema.token");
    await expect(session.claim(bids, call())).rejects.toThrow("token");
    expect(await session.prove(holding(), call())).toMatchObject({ kind: "alive" });
    expect([sent.first > 0, sent.second]).toEqual([true, 0]);
  });
});
