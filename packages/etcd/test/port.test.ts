/** The rules of the port, one by one, each forced at its exact point against a real server. */

import { createElection } from "@elect/core";
import { RefusedError } from "@elect/core/adapter";
import { describe, expect, test } from "vitest";
import { etcd as elect } from "../src/index.ts";
import { advancing, claiming, joining, leaving, raising } from "../src/transactions.ts";
import { markOf } from "../src/keys.ts";
import {
  bid,
  call,
  callUntil,
  eventually,
  footingOf,
  leaseOf,
  nonce,
  proxyTo,
  store,
  target,
  tokenOf,
  type Store,
} from "./support.ts";

describe("a session", () => {
  test("tells what the server granted, and which cluster this is", async () => {
    const etcd = store();
    const [a, b] = [await etcd.process({ ttlMs: 4_200 }), await etcd.process()];
    expect(a.session.ttlMs, "whole seconds, rounded up").toBe(5_000);
    expect(a.session).toMatchObject({ proofLagMs: 0, poll: null });
    expect(a.session.id).not.toBe(b.session.id);
    expect(a.session.store).toBe((await etcd.etcd.maintenance.status()).header.cluster_id);
    expect(a.session.store).toBe(b.session.store);
  });

  test("proves itself by a keep-alive and a committed write, which leaves no revision behind", async () => {
    const etcd = store();
    const a = await etcd.process();
    const before = await etcd.etcd.maintenance.status();
    expect(await a.prove()).toEqual({ kind: "alive", ttlMs: 30_000, covers: "all", lost: [] });
    const after = await etcd.etcd.maintenance.status();
    expect(BigInt(after.raftIndex), "it went through the log").toBeGreaterThan(BigInt(before.raftIndex));
    const key = await etcd.etcd.get(etcd.keys.session(a.nonce)).exec();
    expect(key.kvs[0]?.mod_revision, "and yet it put nothing").toBe(key.kvs[0]?.create_revision);
  });

  test("S1: is dead once ended, whoever ended it, and no proof or claim brings it back", async () => {
    const etcd = store();
    const a = await etcd.process();
    tokenOf(await a.claim(bid("a")));
    await etcd.adapter().end(a.session.ticket, call());
    await a.heard.next("ended");
    expect(await a.prove()).toMatchObject({ kind: "dead" });
    expect(await a.claim(bid("a"))).toMatchObject({ kind: "unknown" });
    expect(await etcd.kept("a")).toEqual([]);
    expect(await etcd.etcd.get(etcd.keys.session(a.nonce))).toBeNull();
    await etcd.adapter().end(a.session.ticket, call());
  });

  test("S1, S5: whose key an operator deleted is dead, and the key is not made again", async () => {
    const etcd = store();
    const a = await etcd.process();
    await etcd.etcd.delete().key(etcd.keys.session(a.nonce));
    await a.heard.next("ended");
    expect(await a.prove()).toMatchObject({ kind: "dead" });
    expect(await etcd.etcd.get(etcd.keys.session(a.nonce))).toBeNull();
  });

  test("S1, S5: whose key an operator has put anew is dead", async () => {
    const etcd = store();
    const a = await etcd.process();
    await etcd.etcd.put(etcd.keys.session(a.nonce)).value("0000000000000000");
    expect(await a.prove(), "the key is not on the lease any more").toMatchObject({ kind: "dead" });
    expect(await a.claim(bid("a"))).toMatchObject({ kind: "unknown" });
    await a.heard.next("ended");
  });

  test("ends in one step, frees all it holds, wakes who waits", async () => {
    const etcd = store();
    const [a, b] = [await etcd.process(), await etcd.process()];
    const elections = ["a", "b", "c"];
    for (const election of elections) tokenOf(await a.claim(bid(election)));
    for (const election of elections) expect(await b.claim(bid(election))).toMatchObject({ kind: "held" });
    await a.session.end(call());
    for (const election of elections) await b.heard.next(`hint ${election}`);
    const left = await Promise.all(elections.map((election) => etcd.kept(election)));
    expect(left.flat(), "one place of b's in each").toHaveLength(3);
    await expect(a.prove()).rejects.toThrow(/closed/);
  });
});

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

describe("S5: somebody else's hand", () => {
  test("ET-6: on a leader's key is reported by push, and by the next proof", async () => {
    const etcd = store();
    const a = await etcd.process();
    const requests = [bid("a"), bid("b"), bid("c")];
    await a.session.claim(requests, call());
    await etcd.etcd.delete().key(etcd.keys.leader("b"));
    expect(await a.prove(...requests)).toMatchObject({
      kind: "alive",
      lost: [{ election: "b", nonce: requests[1]!.nonce }],
    });
    expect(await a.heard.next("lost b")).toContain("deleted");
    expect(a.heard.all).toEqual([]);
  });

  test("on one of a hundred is reported by push", async () => {
    const etcd = store();
    const a = await etcd.process();
    await a.session.claim(
      Array.from({ length: 100 }, (_, index) => bid(`e-${index}`)),
      call(),
    );
    await etcd.etcd.delete().key(etcd.keys.leader("e-93"));
    await a.heard.next("lost e-93");
  });

  test("on one of a hundred is found by proofs in turn, were the watch to miss it", async () => {
    const etcd = store();
    const a = await etcd.process();
    const requests = Array.from({ length: 100 }, (_, index) => bid(`e-${index}`));
    await a.session.claim(requests, call());
    await etcd.etcd.delete().key(etcd.keys.leader("e-93"));
    const lost = [];
    for (let proofs = 0; proofs < 4; proofs += 1) {
      const proof = await a.prove(...requests);
      if (proof.kind === "alive") lost.push(...proof.lost);
    }
    expect(lost).toMatchObject([{ election: "e-93" }]);
  });

  test("what was given back while the proof was under way is not called lost", async () => {
    const etcd = store();
    const a = await etcd.process();
    const request = bid("a");
    for (let times = 0; times < 10; times += 1) {
      tokenOf(await a.claim(request));
      const [proof] = await Promise.all([a.prove(request), a.session.release([request], call())]);
      expect(proof).toMatchObject({ kind: "alive", lost: [] });
    }
    expect(a.heard.all).toEqual([]);
  });
});

describe("S6: who cleans up", () => {
  test("after a crash: the end of the lease, all in one step; nothing of the session is left", async () => {
    const etcd = store();
    const [a, b] = [await etcd.process({ ttlMs: 4_000 }), await etcd.process()];
    const elsewhere = [bid("d"), bid("e")];
    for (const request of elsewhere) tokenOf(await b.claim(request));
    const answers = await a.session.claim([bid("a"), bid("b"), bid("c"), bid("d"), bid("e")], call());
    expect(answers.map(({ kind }) => kind)).toEqual(["granted", "granted", "granted", "held", "held"]);
    const left = async () => (await etcd.everything()).filter(({ lease }) => lease === leaseOf(a));
    expect(await left(), "the session, three leaders, five places").toHaveLength(9);
    const watcher = await etcd.etcd.watch().prefix(etcd.namespace).create();
    const revisions: string[] = [];
    watcher.on("delete", ({ mod_revision }) => revisions.push(mod_revision));

    a.session.abandon();
    await eventually("all is gone", () => revisions.length === 9);
    expect(new Set(revisions).size, "at one revision").toBe(1);
    expect(await etcd.everything(), "b's session, two leaders, two places").toHaveLength(5);
    expect(await leasesOf(etcd)).not.toContain(leaseOf(a));
    await watcher.cancel();
  });

  test("after a graceful close nothing is left, neither keys nor leases", async () => {
    const etcd = store();
    const hosts = `127.0.0.1:${target.port}`;
    const backends = [0, 1].map(() => elect({ hosts, namespace: etcd.namespace }));
    const [first, second] = backends.map((backend) => createElection({ backend, name: "a", ttl: 5_000 }));
    const term = await first!.campaign();
    const waiting = second!.campaign().catch(() => {});
    await eventually("both are there", async () => (await first!.candidates()).length === 2);
    expect(await etcd.everything(), "two sessions, two places, a leader").toHaveLength(5);
    const ours = (await etcd.everything()).map(({ lease }) => lease);
    await backends[1]!.close();
    await waiting;
    expect(await etcd.everything()).toHaveLength(3);
    await term.resign();
    await backends[0]!.close();
    expect(await etcd.everything()).toEqual([]);
    const leases = await leasesOf(etcd);
    expect(ours.filter((lease) => leases.includes(lease))).toEqual([]);
  });

  test("a missing session record means that the lease is ending, not that the lock is free", async () => {
    const etcd = store();
    const [a, b] = [await etcd.process({ ttlMs: 4_000 }), await etcd.process()];
    const [first, second] = [bid("a"), bid("a")];
    const token = tokenOf(await a.claim(first));
    await b.claim(second);
    const sentAt = performance.now();
    expect(await a.prove(first)).toMatchObject({ kind: "alive" });
    await etcd.etcd.delete().key(etcd.keys.session(a.nonce));
    await a.heard.next("ended");
    expect(await b.claim(second), "there is no session to be found").toMatchObject({
      kind: "held",
      by: { token },
    });
    await b.heard.next("hint a");
    expect(performance.now() - sentAt).toBeGreaterThan(4_000);
    tokenOf(await b.claim(second));
  });
});

describe("a call", () => {
  test("is over when its signal aborts; the next one connects again, to the same session", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    const request = bid("a");
    const token = tokenOf(await a.claim(request));
    proxy.silence();
    const giveUp = new AbortController();
    const proof = a.session.prove(new Map(), callUntil(giveUp.signal));
    giveUp.abort(new Error("enough"));
    await expect(proof).rejects.toThrow("enough");
    proxy.heal();
    expect(await a.prove(request)).toMatchObject({ kind: "alive", lost: [] });
    expect(proxy.opened).toBe(2);
    expect(tokenOf(await a.claim(request))).toBe(token);
  });

  test("does nothing with a signal that has aborted", async () => {
    const etcd = store();
    const a = await etcd.process();
    await expect(
      a.session.claim([bid("a")], callUntil(AbortSignal.abort(new Error("before")))),
    ).rejects.toThrow("before");
    expect(await etcd.kept("a")).toEqual([]);
  });

  test("G-28: passes over hosts that refuse connections, at once", async () => {
    const etcd = store();
    const a = await etcd.process({
      hosts: ["127.0.0.1:1", `127.0.0.1:${target.port}`, "127.0.0.1:2"],
      nonce: "00000002".padEnd(32, "0"),
    });
    expect(await a.prove()).toMatchObject({ kind: "alive" });
  });

  test("names the host, and no credentials, when nothing is there", async () => {
    const etcd = store();
    const adapter = etcd.adapter({ hosts: "127.0.0.1:1", username: "alice", password: "sesame" });
    const failure: unknown = await adapter.read("a", call()).catch((error: unknown) => error);
    expect(String(failure)).toMatch(/etcd at 127\.0\.0\.1:1: .*ECONNREFUSED/);
    expect(String(failure)).not.toMatch(/sesame|alice/);
  });
});

describe("an observer", () => {
  test("is told of every change of leader, and reads it with its token", async () => {
    const etcd = store();
    const a = await etcd.process();
    const observer = etcd.adapter();
    let tell = (): void => {};
    const changed = () => new Promise<void>((resolve) => (tell = resolve));
    const first = changed();
    const watch = await observer.watch("a", () => tell(), call());
    await first;
    expect(await observer.read("a", call())).toBeNull();
    const request = bid("a", nonce(), "someone");
    const elected = changed();
    const token = tokenOf(await a.claim(request));
    await elected;
    expect(await observer.read("a", call())).toEqual({ id: "someone", token, metadata: '{"of":"someone"}' });
    const gone = changed();
    await a.session.release([request], call());
    await gone;
    expect(await observer.read("a", call())).toBeNull();
    watch.close();
  });

  test("takes a key without a lease, which somebody else has put there, for nobody; a claim takes its place", async () => {
    const etcd = store();
    await etcd.etcd.put(etcd.keys.leader("a")).value("me, says an operator");
    const a = await etcd.process();
    expect(await a.adapter.read("a", call())).toBeNull();
    const token = tokenOf(await a.claim(bid("a")));
    expect(await a.adapter.read("a", call())).toMatchObject({ token });
  });

  test("sees elections apart whose names look alike, or like keys", async () => {
    const etcd = store();
    const a = await etcd.process();
    const names = ["a", "a/leader", "a/queue/b", "A", "a b", "ä", "%61", "a\u{1f389}"];
    for (const name of names) tokenOf(await a.claim(bid(name, nonce(), `of ${name}`)));
    for (const name of names) {
      expect(await a.adapter.read(name, call())).toMatchObject({ id: `of ${name}` });
      expect(await a.adapter.candidates(name, call())).toMatchObject([{ id: `of ${name}` }]);
    }
  });
});

/** All leases of the server, whoever has them. */
async function leasesOf({ etcd }: Store): Promise<string[]> {
  const { leases } = await etcd.leaseClient.leaseLeases();
  return leases.map(({ ID }) => ID);
}
