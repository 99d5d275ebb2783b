/** Calls and what they say: repeated, of onlookers, and how many statements they take. */

import { describe, expect, test } from "vitest";
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
