import { RefusedError } from "@elect/core/adapter";
import { describe, expect, test } from "vitest";
import { advancing, claiming, joining, leaving, raising } from "../src/transactions.ts";
import { markOf } from "../src/keys.ts";
import { bid, call, footingOf, leaseOf, nonce, proxyTo, store, tokenOf } from "./support.ts";

describe("a claim", () => {
  test("is granted in the step that finds nobody leading and nobody waiting; its token is that step's revision", async () => {
    const etcd = store();
    const a = await etcd.process();
    const token = tokenOf(await a.claim(bid("a")));
    const leader = await etcd.etcd.get(etcd.keys.leader("a")).exec();
    expect(leader.kvs[0]).toMatchObject({
      create_revision: String(token),
      mod_revision: String(token),
      lease: leaseOf(a),
    });
  });

  test("S2: of the same nonce returns its record unchanged, of another nonce of its own session is held", async () => {
    const etcd = store();
    const a = await etcd.process();
    const [first, second] = [bid("a", nonce(), "first"), bid("a", nonce(), "second")];
    const token = tokenOf(await a.claim(first));
    expect(tokenOf(await a.claim(first))).toBe(token);
    const held = { kind: "held", by: { id: "first", token, metadata: '{"of":"first"}' }, patience: null };
    expect(await a.claim(second)).toMatchObject(held);
    expect(await a.claim(second)).toMatchObject(held);
    expect(await etcd.kept("a"), "each has one place").toHaveLength(3);
    await a.session.release([first], call());
    await a.heard.next("hint a");
    expect(tokenOf(await a.claim(second))).toBeGreaterThan(token);
  });

  test("S2: a place that an older session left under the same nonce is not its own", async () => {
    const etcd = store();
    const request = bid("a");
    const old = await etcd.process();
    const token = tokenOf(await old.claim(request));
    const next = await etcd.process();
    expect(await next.claim(request)).toMatchObject({ kind: "held", by: { token } });
    await old.session.end(call());
    await next.heard.next("hint a");
    expect(tokenOf(await next.claim(request))).toBeGreaterThan(token);
  });

  test("S3: is not a proof: it leaves the lease as long as it was", async () => {
    const etcd = store();
    const a = await etcd.process({ ttlMs: 3_000 });
    const rest = async () => etcd.etcd.leaseClient.leaseTimeToLive({ ID: leaseOf(a) });
    while (Number((await rest()).TTL) > 1) await new Promise((resolve) => setTimeout(resolve, 100));
    tokenOf(await a.claim(bid("a")));
    expect(Number((await rest()).TTL)).toBeLessThan(2);
    await a.prove();
    expect(Number((await rest()).TTL)).toBeGreaterThanOrEqual(2);
  });

  test("takes many elections in one go, and answers for each, also twice for one", async () => {
    const etcd = store();
    const [a, b] = [await etcd.process(), await etcd.process()];
    tokenOf(await b.claim(bid("e-7")));
    const requests = Array.from({ length: 120 }, (_, index) => bid(`e-${index}`));
    const again = bid("e-3");
    const answers = await a.session.claim([...requests, again], call());
    const held = answers
      .map(({ kind }, index) => (kind === "granted" ? null : index))
      .filter((index) => index !== null);
    expect(held).toEqual([7, 120]);
    await a.session.release([...requests, again], call());
    expect(await etcd.kept("e-119")).toEqual([]);
    expect(await etcd.kept("e-7"), "b's key and place").toHaveLength(2);
  });

  test("A5.3 ordering: waits its turn: who began to wait first leads first, and each hand-over wakes one", async () => {
    const etcd = store();
    const all = [];
    for (let index = 0; index < 5; index += 1)
      all.push({ ...(await etcd.process()), request: bid("a", nonce(), `c${index}`) });
    for (const { claim, request } of all) await claim(request);
    expect((await all[0]!.adapter.candidates("a", call())).map(({ id }) => id)).toEqual([
      "c0",
      "c1",
      "c2",
      "c3",
      "c4",
    ]);
    let last = 0n;
    for (const [index, { session, request }] of all.entries()) {
      const leader = await all[4]!.adapter.read("a", call());
      expect(leader).toMatchObject({ id: `c${index}` });
      expect(leader!.token).toBeGreaterThan(last);
      last = leader!.token;
      await session.release([request], call());
      const next = all[index + 1];
      if (next === undefined) continue;
      await next.heard.next("hint a");
      tokenOf(await next.claim(next.request));
    }
    expect(all.flatMap(({ heard }) => heard.all)).toEqual([]);
    expect(await etcd.kept("a")).toEqual([]);
  });

  test("does not jump the queue when the leader's key is deleted, and the one behind a leaver is woken", async () => {
    const etcd = store();
    const [a, b, c] = [await etcd.process(), await etcd.process(), await etcd.process()];
    const [first, second, third] = [bid("a"), bid("a"), bid("a")];
    tokenOf(await a.claim(first));
    await b.claim(second);
    await c.claim(third);
    await b.session.release([second], call());
    await c.heard.next("hint a");
    expect(await c.claim(third)).toMatchObject({ kind: "held" });
    await etcd.etcd.delete().key(etcd.keys.leader("a"));
    expect(await c.claim(third), "a still has the first place").toMatchObject({ kind: "held", by: null });
    expect(await b.claim(bid("a")), "nor does one who comes now").toMatchObject({ kind: "held", by: null });
    await a.heard.next("lost a");
    await a.session.release([first], call());
    await c.heard.next("hint a");
    tokenOf(await c.claim(third));
  });

  test("whose place in the queue was deleted takes a new one, at the end, though it would have been its turn", async () => {
    const etcd = store();
    const [a, b, c] = [await etcd.process(), await etcd.process(), await etcd.process()];
    const [first, second, third] = [bid("a"), bid("a", nonce(), "second"), bid("a", nonce(), "third")];
    tokenOf(await a.claim(first));
    await b.claim(second);
    await c.claim(third);
    await etcd.etcd.delete().key(etcd.keys.place("a", markOf(b.nonce, second.nonce)));
    await a.session.release([first], call());
    expect(await b.claim(second)).toMatchObject({ kind: "held", by: null });
    expect((await a.adapter.candidates("a", call())).map(({ id }) => id)).toEqual(["third", "second"]);
    tokenOf(await c.claim(third));
  });

  test("is refused with a way out where the store will never take it", async () => {
    const etcd = store();
    const a = await etcd.process();
    const huge = { ...bid("a"), candidate: { id: "huge", metadata: "x".repeat(2 ** 20) } };
    const answer = await a.claim(huge);
    expect(answer).toMatchObject({ kind: "refused", error: { refusal: "limit" } });
    expect(answer.kind === "refused" && answer.error).toBeInstanceOf(RefusedError);
    tokenOf(await a.claim(bid("a")));
  });
});

describe("an unknown outcome", () => {
  test("ET-9: the reply to a claim is lost: it is unknown; the same nonce finds that it leads", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    const request = bid("lost-reply");
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("lost-reply"), "cut-after");
    expect(await a.claim(request)).toMatchObject({ kind: "unknown" });
    const leader = await etcd.etcd.get(etcd.keys.leader("lost-reply")).exec();
    expect(tokenOf(await a.claim(request))).toBe(BigInt(leader.kvs[0]!.mod_revision));
  });

  test("G-6: disposed of, nothing is left of it, and the session goes on", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    const request = bid("lost-reply");
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("lost-reply"), "cut-after");
    expect(await a.claim(request)).toMatchObject({ kind: "unknown" });
    await a.session.dispose([request], call());
    expect(await etcd.kept("lost-reply")).toEqual([]);
    tokenOf(await a.claim(bid("lost-reply")));
    expect(await a.prove()).toMatchObject({ kind: "alive", lost: [] });
  });

  test("G-7: a claim that timed out and is delivered after its disposal changes nothing", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    const held = proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("ghost"), "hold");
    expect(await a.claim(bid("ghost"), 300)).toMatchObject({ kind: "unknown" });
    const { connection } = await held.seen;
    await a.session.dispose([bid("ghost")], call());
    connection.heal();
    expect(await a.prove()).toMatchObject({ kind: "alive" });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await etcd.kept("ghost")).toEqual([]);
  });

  // What the proxy delivers late comes with the cancellation of its call, and the server may heed that. So the delayed
  // copies below are committed by another client, at the very point.
  test("S4: a delayed copy of a claim is applied without a disposal (control), and refused after one", async () => {
    const etcd = store();
    const a = await etcd.process();
    const footing = await footingOf(etcd, a);
    const copy = (election: string) =>
      etcd.etcd.kv.txn(
        claiming(footing, 0, [
          joining(etcd.keys, footing, { ...bid(election), mark: markOf(a.nonce, nonce()) }),
        ]),
      );
    expect(await copy("control")).toMatchObject({ succeeded: true });
    expect(await etcd.kept("control")).toHaveLength(2);
    await a.session.dispose([bid("a")], call());
    expect(await copy("a")).toMatchObject({ succeeded: false });
    expect(await etcd.kept("a")).toEqual([]);
  });

  test("S4: so is a delayed copy by one who waits, though it would be its turn", async () => {
    const etcd = store();
    const [a, b] = [await etcd.process(), await etcd.process()];
    const [first, second] = [bid("a"), bid("a")];
    tokenOf(await a.claim(first));
    await b.claim(second);
    const mark = markOf(b.nonce, second.nonce);
    const joined = (await etcd.etcd.get(etcd.keys.place("a", mark)).exec()).kvs[0]!.create_revision;
    const footing = await footingOf(etcd, b);
    const copy = claiming(footing, 0, [advancing(etcd.keys, footing, { ...second, mark }, BigInt(joined))]);
    await b.session.dispose([second], call());
    await a.session.release([first], call());
    expect(await etcd.etcd.kv.txn(copy)).toMatchObject({ succeeded: false });
    expect(await etcd.kept("a")).toEqual([]);
  });

  test("S4: a delayed copy of a disposal does not lower the generation", async () => {
    const etcd = store();
    const a = await etcd.process();
    for (let times = 0; times < 11; times += 1) await a.session.dispose([bid("a")], call());
    await etcd.etcd.kv.txn({ success: [raising(await footingOf(etcd, a), 9)] });
    tokenOf(await a.claim(bid("a")));
  });

  test("S4: a claim of an older generation than the store's is unknown until it is disposed of", async () => {
    const etcd = store();
    const a = await etcd.process();
    await etcd.etcd.kv.txn({ success: [raising(await footingOf(etcd, a), 1)] });
    const request = bid("a");
    expect(await a.claim(request)).toMatchObject({ kind: "unknown" });
    expect(a.heard.all).toEqual([]);
    await a.session.dispose([request], call());
    tokenOf(await a.claim(request));
  });

  test("the reply to a release is lost: giving back again succeeds, and hits no successor", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const [a, b] = [await etcd.process({ hosts: `127.0.0.1:${proxy.port}` }), await etcd.process()];
    const [first, second] = [bid("given-back"), bid("given-back")];
    tokenOf(await a.claim(first));
    await b.claim(second);
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("given-back"), "cut-after");
    await expect(a.session.release([first], call())).rejects.toThrow(/etcd at 127/);
    await b.heard.next("hint given-back");
    const token = tokenOf(await b.claim(second));
    await a.session.dispose([first], call());
    await etcd.etcd.kv.txn({
      success: leaving(etcd.keys, { election: "given-back", mark: markOf(a.nonce, first.nonce) }),
    });
    expect(await a.adapter.read("given-back", call())).toMatchObject({ token });
  });
});
