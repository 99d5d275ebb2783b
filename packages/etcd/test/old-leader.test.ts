/**
 * What a leader of etcd still does when the others have replaced it and it does not know yet: it acknowledges
 * keep-alives (#15247), and it revokes leases that ended by its own count (#12528). Cut off and frozen for as long as it
 * takes, it believes for another second after it has thawed that it leads: as long as etcd lets it go without
 * an answer from the others. Etcd 3.5.13 and later ask them only if their own clock has stood still
 * (`ensureLeadership` in `etcdserver/server.go`).
 */

import { describe, expect, test } from "vitest";
import type { Connection } from "../src/connection.ts";
import { guardedTxn, type GuardedTerm } from "../src/index.ts";
import { Keys } from "../src/keys.ts";
import type { Link } from "../src/link.ts";
import { EtcdSession } from "../src/session.ts";
import { hostsOf, keepProving, limit, nobody, statusOf, Trio } from "./cluster.ts";
import { bid, call, eventually, Heard, pass, plain, proxyTo, tokenOf, type Store } from "./support.ts";

describe("a leader of etcd that was replaced", () => {
  const trio = new Trio();

  test(
    "ET-5: acknowledges a keep-alive, from which the lease lasts no longer: the proof does not count",
    { timeout: limit },
    async () => {
      const ttl = 10_000;
      const { leader, followers } = await trio.roles();
      const etcd = trio.store();
      const proxy = await proxyTo({ host: "127.0.0.1", port: leader.port });
      const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}`, ttlMs: ttl });
      const b = await etcd.process({ hosts: hostsOf(followers), ttlMs: 60_000 });
      const [first, second] = [bid("a"), bid("a")];
      tokenOf(await a.claim(first));
      await b.claim(second);
      const old = (await statusOf(leader))!;
      expect(await a.prove(first)).toMatchObject({ kind: "alive" });

      await trio.isolate(leader);
      await leader.pause();
      await trio.follows(followers[0], old.member);
      // A new leader of etcd adds the length of an election to each lease: what comes within it does no harm.
      await pass(4_000);
      await leader.unpause();
      const held = proxy.once(
        ({ direction, bytes }) => direction === "up" && bytes.includes(`sessions/${a.nonce}/`),
        "hold",
      );
      const sentAt = performance.now();
      const proof = a.session.prove(new Map(), call(20_000));
      proof.catch(() => {});
      const committing = await Promise.race([held.seen, proof.then(() => null)]);
      expect(committing, "the keep-alive is acknowledged, by the only one who can hear it").not.toBeNull();
      expect(await statusOf(leader)).toMatchObject({ term: old.term });
      await trio.rejoin(leader);
      await trio.follows(leader, old.member);
      committing!.connection.heal();
      await expect(proof, "both of its steps succeeded").rejects.toThrow(/leader changed/);

      await b.heard.next("hint a");
      tokenOf(await b.claim(second));
      expect(performance.now(), "it would have counted until then").toBeLessThan(sentAt + ttl);
    },
  );

  test(
    "the limit of promise 1: revokes what was renewed at its successor; who can be told is told, the guard holds for all",
    { timeout: 4 * limit },
    async () => {
      const etcd = trio.store();
      let fates: readonly Fate[] | null = null;
      for (let round = 0; fates === null && round < 4; round += 1)
        fates = await revokeLate(etcd, `e${round}`);
      const [told, cut] = fates ?? [];
      expect(told!.heardAt).not.toBeNull();
      expect(cut!.heardAt).toBeNull();
      expect(cut!.endsAt, "its term, by its own clock").toBeGreaterThan(cut!.nextAt);
      const { namespace } = etcd;
      const write = async (term: GuardedTerm) =>
        guardedTxn(etcd.etcd, term, [etcd.etcd.put(`${namespace}/effect`).value("")], { namespace });
      expect(await Promise.all([write(told!.term), write(cut!.term)])).toEqual([false, false]);
      expect(await Promise.all([write(told!.next), write(cut!.next)])).toEqual([true, true]);
      const overlap = ({ endsAt, nextAt }: Fate) => `${(endsAt - nextAt).toFixed(0)} ms`;
      console.log(
        `#12528: who was told ended ${overlap(told!)} after its successor began, who was not ${overlap(cut!)}`,
      );
    },
  );

  interface Fate {
    readonly term: GuardedTerm;
    readonly heardAt: number | null;
    /** When it was told, else its deadline. */
    readonly endsAt: number;
    readonly next: GuardedTerm;
    readonly nextAt: number;
  }

  /**
   * etcd asks itself once whether it leads, for all leases that it finds run out, twice a second. It revokes sixteen
   * of them at a time, and gives each 7 s. So sixteen that nobody needs go first, and when it comes to ours it follows
   * its successor, and hands the request on. `null`: ours were not found together with the sixteen.
   */
  async function revokeLate(etcd: Store, election: string): Promise<readonly Fate[] | null> {
    const ttl = 5_000;
    const { leader, followers } = await trio.roles();
    const old = (await statusOf(leader))!;
    const proxy = await proxyTo({ host: "127.0.0.1", port: followers[0].port });
    const told = await reign(`${election}-told`, hostsOf(followers));
    const cut = await reign(`${election}-cut`, [`127.0.0.1:${proxy.port}`]);
    const { leaseClient } = plain(leader.port);
    await Promise.all(Array.from({ length: 20 }, () => leaseClient.leaseGrant({ TTL: ttl / 1000 })));
    await Promise.all([told.process.prove(), cut.process.prove()]);
    const runOutAt = performance.now() + ttl;

    await trio.isolate(leader);
    await leader.pause();
    const over = new AbortController();
    const proving = Promise.all([told, cut].map(({ process }) => keepProving(process, over.signal)));
    await trio.follows(followers[0], old.member);
    await pass(runOutAt - 200 - performance.now());
    await leader.unpause();
    await eventually("it gives up leading", async () => (await statusOf(leader))?.leader === nobody);
    await trio.rejoin(leader);
    await trio.follows(leader, old.member);

    await pass(runOutAt + 6_300 - performance.now());
    proxy.silence();
    const successors = await Promise.race([Promise.all([told.succeeded, cut.succeeded]), pass(3_500)]);
    over.abort();
    const proofs = await proving;
    if (successors) await eventually("it is told", () => told.heardAt() !== null);
    const fates = [told, cut].map(({ term, heardAt }, index) => {
      const untilAt = proofs[index]!.lastSentAt + ttl;
      return { ...(successors ?? [])[index]!, term, heardAt: heardAt(), endsAt: heardAt() ?? untilAt };
    });
    proxy.heal();
    return successors ? fates : null;

    /** A leader, and one who waits for the same election. */
    async function reign(name: string, hosts: string[]) {
      const process = await etcd.process({ hosts, ttlMs: ttl });
      const next = await etcd.process({ hosts: hostsOf(followers), ttlMs: 60_000 });
      const term = { election: name, token: tokenOf(await process.claim(bid(name))) };
      const waiting = bid(name);
      await next.claim(waiting);
      const succeeded = (async () => {
        await next.heard.next(`hint ${name}`);
        const token = tokenOf(await next.claim(waiting));
        return { next: { election: name, token }, nextAt: performance.now() };
      })();
      let heardAt: number | null = null;
      void process.heard.next("ended").then(() => (heardAt = performance.now()));
      return { process, term, succeeded, heardAt: () => heardAt };
    }
  }
});

// What the members say is made up here, as they say it in moments that cannot be had one by one.
describe("ET-5: a proof", () => {
  const footing = { key: Buffer.from("elect/sessions/x"), lease: "7", born: "5" };

  function proofOf(
    renewed: { TTL: string; raft_term: string },
    committed: { succeeded: boolean; raft_term: string },
  ) {
    const header = { cluster_id: "1", revision: "9" };
    const link = {
      member: "m:1",
      usable: true,
      keepAlive: async () => ({ TTL: renewed.TTL, header: { ...header, raft_term: renewed.raft_term } }),
      commit: async () => ({
        succeeded: committed.succeeded,
        header: { ...header, raft_term: committed.raft_term },
        responses: [{ response_range: { kvs: [] } }],
      }),
      watch: async () => () => {},
    };
    const connection = {
      use: (_: unknown, work: (on: Link) => Promise<unknown>) => work(link as unknown as Link),
    };
    const session = new EtcdSession({
      connection: connection as unknown as Connection,
      ...{ keys: new Keys("elect"), events: new Heard(), nonce: "x", footing, cluster: "1" },
      ...{ ttlMs: 5_000, warnings: [] },
    });
    return session.prove(new Map(), call());
  }

  test("is no death when a new leader does not know the lease yet, and the key on it is there", async () => {
    const proof = proofOf({ TTL: "0", raft_term: "4" }, { succeeded: true, raft_term: "4" });
    await expect(proof).rejects.toThrow(/found no lease/);
  });

  test("is a death when the log says so, whatever the keep-alive said", async () => {
    const proof = proofOf({ TTL: "5", raft_term: "3" }, { succeeded: false, raft_term: "3" });
    await expect(proof).resolves.toMatchObject({ kind: "dead" });
  });
});
