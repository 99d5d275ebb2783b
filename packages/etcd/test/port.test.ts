/** Sessions: how they live, die, are meddled with (S5) and cleared away (S6). S2 to S4 are in claims.test.ts. */

import { createElection } from "@elect/core";
import { describe, expect, test } from "vitest";
import { etcd as elect } from "../src/index.ts";
import { bid, call, eventually, leaseOf, store, target, tokenOf, type Store } from "./support.ts";

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

/** All leases of the server, whoever has them. */
async function leasesOf({ etcd }: Store): Promise<string[]> {
  const { leases } = await etcd.leaseClient.leaseLeases();
  return leases.map(({ ID }) => ID);
}
