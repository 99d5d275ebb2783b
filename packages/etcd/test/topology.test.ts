/** A cluster of three, and what becomes of a session when its own member, or etcd's leader, is killed, frozen or cut off. */

import { performance } from "node:perf_hooks";
import { Etcd3 } from "etcd3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startEtcdCluster, type EtcdCluster, type Server } from "../../../integration/servers/src/index.ts";
import type { Connection } from "../src/connection.ts";
import { Keys } from "../src/keys.ts";
import type { Link } from "../src/link.ts";
import { EtcdSession } from "../src/session.ts";
import {
  bid,
  call,
  eventually,
  Heard,
  nonce,
  pass,
  store,
  tokenOf,
  type Process,
  type Store,
} from "./support.ts";

const ttl = 5_000;
const limit = 60_000;

describe("ET-4: three members", () => {
  let cluster: EtcdCluster;
  let etcd: Store;

  beforeAll(async () => {
    cluster = await startEtcdCluster();
  }, limit);
  afterAll(async () => cluster.stop());

  const hosts = (members: readonly Server[]) => members.map(({ port }) => `127.0.0.1:${port}`);

  /** etcd's leader, and the others, once all three agree on it. */
  async function roles(): Promise<{ leader: Server; followers: Server[] }> {
    for (const until = performance.now() + 30_000; performance.now() < until; await pass(250)) {
      const seen = await Promise.all(cluster.members.map(({ port }) => statusAt(port)));
      const leader = cluster.members.find(
        (_, at) => seen[at] !== null && seen[at]?.leader === seen[at]?.header.member_id,
      );
      const agreed = new Set(seen.map((status) => status?.leader)).size === 1;
      if (leader !== undefined && agreed) {
        return { leader, followers: cluster.members.filter((member) => member !== leader) };
      }
    }
    throw new Error("the three members do not agree on a leader");
  }

  async function statusAt(port: number) {
    const client = new Etcd3({
      hosts: `127.0.0.1:${port}`,
      defaultCallOptions: () => ({ deadline: Date.now() + 1_000 }),
    });
    try {
      return await client.maintenance.status();
    } catch {
      return null;
    } finally {
      client.close();
    }
  }

  /** A session that begins at the first of these members. */
  async function sessionAt(...members: Server[]): Promise<Process> {
    etcd = store(hosts(cluster.members));
    return etcd.process({ hosts: hosts(members), ttlMs: ttl, nonce: `0000${nonce().slice(4)}` });
  }

  /** Proves like core does, until `over`; resolves to the longest time from one proof that counts to the next. */
  async function keepProving(
    { session }: Process,
    over: AbortSignal,
  ): Promise<{ gapMs: number; deaths: number }> {
    let [last, gapMs, deaths] = [performance.now(), 0, 0];
    while (!over.aborted) {
      const sentAt = performance.now();
      const proof = await session.prove(new Map(), call(ttl / 6)).catch(() => null);
      if (proof?.kind === "dead") deaths += 1;
      if (proof?.kind === "alive") {
        gapMs = Math.max(gapMs, sentAt - last);
        last = sentAt;
      }
      await pass(proof === null ? 20 : 200);
    }
    return { gapMs: Math.max(gapMs, performance.now() - last), deaths };
  }

  async function survives(
    process: Process,
    fault: () => Promise<void>,
    heal: () => Promise<void>,
  ): Promise<void> {
    const request = bid("a");
    const token = tokenOf(await process.claim(request));
    const over = new AbortController();
    const proving = keepProving(process, over.signal);
    await fault();
    await pass(ttl);
    await heal();
    await roles();
    over.abort();
    const { gapMs, deaths } = await proving;
    expect(deaths).toBe(0);
    expect(gapMs, "a term would not have ended").toBeLessThan(ttl * 0.94);
    expect(tokenOf(await process.claim(request))).toBe(token);
    expect(await process.prove(request)).toMatchObject({ kind: "alive", lost: [] });
  }

  test("a session whose member is killed goes on at the next one", { timeout: limit }, async () => {
    const { leader, followers } = await roles();
    const member = followers[0]!;
    const a = await sessionAt(member, followers[1]!, leader);
    await survives(
      a,
      () => member.kill(),
      () => member.restart(),
    );
  });

  test(
    "one whose member is etcd's leader, which is killed, goes on under the next leader",
    { timeout: limit },
    async () => {
      const { leader, followers } = await roles();
      const a = await sessionAt(leader, ...followers);
      await survives(
        a,
        () => leader.kill(),
        () => leader.restart(),
      );
    },
  );

  // What the thawed one believes of leases is as old as its frost, and it may revoke what was renewed at its successor:
  // `ensureLeadership` asks nobody if the clock has ticked in the last three heartbeats (etcd 3.5.16: 2 times in 5).
  // So this is a declared limit of promise 1; what must hold is that the holder is told, and at once.
  test(
    "ET-5: one whose member is etcd's leader, which is frozen, goes on; when it thaws, too, or is told at once",
    { timeout: limit },
    async () => {
      const { leader, followers } = await roles();
      const a = await sessionAt(leader, ...followers);
      const request = bid("a");
      const token = tokenOf(await a.claim(request));
      const [frost, thaw] = [new AbortController(), new AbortController()];
      const frozen = keepProving(a, frost.signal);
      await leader.pause();
      await pass(ttl);
      frost.abort();
      const { gapMs, deaths } = await frozen;
      expect(deaths).toBe(0);
      expect(gapMs, "a term would not have ended").toBeLessThan(ttl * 0.94);
      const thawing = keepProving(a, thaw.signal);
      await leader.unpause();
      await roles();
      thaw.abort();
      const { deaths: revoked } = await thawing;
      const dead = revoked > 0 || (await a.prove(request)).kind === "dead";
      const outcome = dead ? await a.heard.next("ended") : String(tokenOf(await a.claim(request)));
      expect(outcome).toMatch(dead ? /^ended: its key in etcd is gone/ : String(token));
    },
  );

  test(
    "ET-5: one whose member is etcd's leader, which is cut off from the others, goes on",
    { timeout: limit },
    async () => {
      const { leader, followers } = await roles();
      const a = await sessionAt(leader, ...followers);
      await survives(
        a,
        () => cluster.peers.isolate(leader),
        () => cluster.peers.rejoin(leader),
      );
    },
  );

  test(
    "one that knows only a member that is cut off is not proven, and is replaced in time",
    { timeout: limit },
    async () => {
      const { leader, followers } = await roles();
      const member = followers[0]!;
      const a = await sessionAt(member);
      const [first, second] = [bid("a"), bid("a")];
      tokenOf(await a.claim(first));
      const b = await etcd.process({ hosts: hosts([leader, followers[1]!]), ttlMs: ttl });
      await b.claim(second);
      const over = new AbortController();
      const living = keepProving(b, over.signal);
      expect(await a.prove(first)).toMatchObject({ kind: "alive" });
      await cluster.peers.isolate(member);
      const cutAt = performance.now();
      let lastSent = 0;
      const proving = (async () => {
        while (performance.now() - cutAt < ttl) {
          const sentAt = performance.now();
          const proof = await a.session.prove(new Map(), call(ttl / 6)).catch(() => null);
          if (proof?.kind === "alive") lastSent = sentAt;
          await pass(50);
        }
      })();
      await b.heard.next("hint a");
      const took = performance.now() - cutAt;
      expect(took).toBeLessThan(ttl + 1_000 + 500);
      expect(performance.now(), "no proof of a's counted any more").toBeGreaterThan(lastSent + ttl);
      tokenOf(await b.claim(second));
      await proving;
      over.abort();
      expect((await living).deaths).toBe(0);
      await cluster.peers.rejoin(member);
      await eventually(
        "a learns it",
        async () => (await a.prove().catch(() => null))?.kind === "dead",
        20_000,
      );
    },
  );

  test(
    "a leader that crashes as etcd's leader does is replaced within 2 TTL + 2 s",
    { timeout: limit },
    async () => {
      const { leader, followers } = await roles();
      const a = await sessionAt(...followers);
      const [first, second] = [bid("a"), bid("a")];
      tokenOf(await a.claim(first));
      const b = await etcd.process({ hosts: hosts(followers), ttlMs: ttl });
      await b.claim(second);
      await a.prove(first);
      a.session.abandon();
      await pass(ttl / 2);
      const killedAt = performance.now();
      const over = new AbortController();
      const proving = keepProving(b, over.signal);
      await leader.kill();
      await b.heard.next("hint a");
      const took = performance.now() - killedAt + ttl / 2;
      over.abort();
      expect((await proving).deaths).toBe(0);
      expect(took).toBeLessThan(2 * ttl + 2_000);
      tokenOf(await b.claim(second));
      await leader.restart();
    },
  );
});

// etcd 3.5.13 and later take care that a leader that was replaced acknowledges no keep-alive; older ones do not
// (#15247), and even the newer ones cannot take back what was under way. So here the members' answers are made up.
describe("ET-5: a proof", () => {
  const footing = { key: Buffer.from("elect/sessions/x"), lease: "7" };
  const kv = { ...{ value: Buffer.alloc(0), mod_revision: "5", create_revision: "5" }, ...footing };

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
        responses: [{ response_range: { kvs: committed.succeeded ? [kv] : [] } }],
      }),
      watch: async () => () => {},
    };
    const connection = {
      use: (_: unknown, work: (on: Link) => Promise<unknown>) => work(link as unknown as Link),
    };
    const session = new EtcdSession({
      connection: connection as unknown as Connection,
      ...{ keys: new Keys("elect"), events: new Heard(), nonce: "x", footing, born: "5", cluster: "1" },
      ...{ ttlMs: 5_000, warnings: [] },
    });
    return session.prove(new Map(), call());
  }

  test("counts when both steps were seen in one term of etcd's leader", async () => {
    const proof = proofOf({ TTL: "5", raft_term: "3" }, { succeeded: true, raft_term: "3" });
    await expect(proof).resolves.toMatchObject({ kind: "alive", ttlMs: 5_000 });
  });

  test("does not when the keep-alive was answered in an older one: perhaps by a leader that had been replaced", async () => {
    const proof = proofOf({ TTL: "5", raft_term: "3" }, { succeeded: true, raft_term: "4" });
    await expect(proof).rejects.toThrow(/leader changed/);
  });

  test("is no death when a new leader does not know the lease yet, and the key on it is there", async () => {
    const proof = proofOf({ TTL: "0", raft_term: "4" }, { succeeded: true, raft_term: "4" });
    await expect(proof).rejects.toThrow(/found no lease/);
  });

  test("is a death when the log says so, whatever the keep-alive said", async () => {
    const proof = proofOf({ TTL: "5", raft_term: "3" }, { succeeded: false, raft_term: "3" });
    await expect(proof).resolves.toMatchObject({ kind: "dead" });
  });
});
