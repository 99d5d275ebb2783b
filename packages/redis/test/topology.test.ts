/** Replicas, Sentinel, Cluster: what a fail-over does, and what is left of the promises. */

import { expect, onTestFinished, test } from "vitest";
import { Cluster } from "ioredis";
import {
  startRedisCluster,
  startRedisSentinel,
  type Server,
} from "../../../integration/servers/src/index.ts";
import { createPeerNetwork } from "../../../integration/servers/src/peer-network.ts";
import {
  call,
  candidate,
  eventually,
  maxTtl,
  namespace,
  ownServer,
  pass,
  plain,
  tokenOf,
  type Candidate,
} from "./support.ts";
import type { Claim } from "@elect/core/adapter";

const patience = 60_000;

/** Proves every so often, as core would, until stopped; what fails is unknown. */
function keepProving(
  who: Candidate,
  ...held: Claim[]
): { readonly outcomes: string[]; readonly lastSent: number; stop(): Promise<void> } {
  let going = true;
  let lastSent = Number.NaN;
  const outcomes: string[] = [];
  const loop = (async () => {
    while (going) {
      const sent = performance.now();
      const proof = await who.session
        .prove(new Map(held.map((claim) => [claim.nonce, claim])), call(500))
        .catch(() => null);
      if (proof?.kind === "alive") lastSent = sent;
      outcomes.push(
        proof === null
          ? "unknown"
          : proof.kind === "dead"
            ? "dead"
            : proof.lost.length > 0
              ? "lost"
              : "alive",
      );
      await pass(100);
    }
  })();
  onTestFinished(() => void (going = false));
  return {
    outcomes,
    /** When the last acknowledged one was sent. */
    get lastSent() {
      return lastSent;
    },
    stop: async () => {
      going = false;
      await loop;
    },
  };
}

test(
  "RD-7 wait: without the replica a claim is not acquired and a proof counts for nothing",
  async () => {
    const own = await ownServer({ appendonly: "always" });
    const name = namespace();
    const alone = `${own.url}?namespace=${name}&maxTtl=${maxTtl}`;
    const waiting = `${alone}&durability=assumed&waitReplicas=1&waitTimeout=1000`;
    await expect(candidate(waiting)).rejects.toThrow(/0 of 1 replicas/);

    const [port] = own.container.getNetworkNames();
    const replica = await ownServer();
    const address = own.container.getIpAddress(port ?? "bridge");
    const follower = plain(replica.port);
    await follower.replicaof(address, "6379");
    await eventually(
      "the replica follows",
      async () => (await follower.info("replication")).includes("master_link_status:up"),
      20_000,
    );
    const [a, b] = [await candidate(waiting), await candidate(alone)];
    expect(b.session.warnings.join("\n")).toMatch(/1 replica\(s\) and option wait is not set/);
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    expect(await a.prove(bid)).toMatchObject({ kind: "alive" });
    await follower.replicaof("NO", "ONE");
    await eventually("the replica is gone", async () =>
      (await plain(own.port).info("replication")).includes("connected_slaves:0"),
    );
    await expect(a.prove(bid)).rejects.toThrow(/0 of 1 replicas/);
    expect(await a.claim(a.bid("y"))).toMatchObject({ kind: "held", by: null });
    expect(await b.adapter.read("y", call())).toBeNull();
    const c = await candidate(`${alone}&durability=assumed`);
    tokenOf(await c.claim(c.bid("y")));
  },
  patience,
);

test(
  "RD-8 a master cut off with the leader, min-replicas-to-write 1: it stops taking proofs, and who is elected on the promoted replica overlaps nobody",
  async ({ annotate }) => {
    const peers = await createPeerNetwork("redis");
    onTestFinished(() => peers[Symbol.asyncDispose]());
    const limit = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"];
    const master = await ownServer({ peers: { network: peers, name: "master" }, args: limit });
    const replica = await ownServer({
      peers: { network: peers, name: "replica" },
      args: ["--replicaof", "master", "6379", "--repl-diskless-sync-delay", "0"],
    });
    const [old, promoted] = [plain(master.port), plain(replica.port)];
    await eventually(
      "the replica follows",
      async () => (await old.info("replication")).includes("min_slaves_good_slaves:1"),
      20_000,
    );
    const long = 4000;
    const name = namespace();
    const at = (server: Server, more: string): string =>
      `${server.url}?namespace=${name}&maxTtl=${long}${more}`;
    const a = await candidate(at(master, "&durability=assumed"), { ttl: long });
    const bid = a.bid("x", "a");
    const token = tokenOf(await a.claim(bid));
    await eventually(
      "it is replicated",
      async () => (await promoted.hget(`elect:{${name}}`, "r:x")) !== null,
    );
    const proofs = keepProving(a, bid);

    const cut = performance.now();
    await peers.isolate(replica);
    await eventually("the master refuses proofs", () => proofs.outcomes.at(-1) === "unknown", 20_000);
    // Not before: for so long at least, Sentinel's down-after-milliseconds must make it wait.
    await promoted.replicaof("NO", "ONE");
    const b = await candidate(at(replica, ""), { ttl: long });
    const next = b.bid("x", "b");
    let answer = await b.claim(next);
    while (answer.kind === "held") {
      await pass(Math.min(answer.retryInMs ?? 100, 100));
      await b.prove();
      answer = await b.claim(next);
    }
    const elected = performance.now();
    expect(tokenOf(answer)).toBeGreaterThan(token);
    await proofs.stop();
    expect(proofs.outcomes.at(-1)).toBe("unknown");
    const gap = Math.round(elected - (proofs.lastSent + long));
    await annotate(
      `the cut-off master took proofs for ${Math.round(proofs.lastSent - cut)} ms; the last lease was over ${gap} ms before the next leader`,
    );
    expect(gap).toBeGreaterThan(0);
  },
  patience,
);

test(
  "RD-8 RD-9 Sentinel: the leader rides out a fail-over, nobody else is elected on the promoted server for maxTtl",
  async () => {
    await using group = await startRedisSentinel({ downAfter: 500 });
    const hosts = group.sentinels.map(({ host, port }) => `${host}:${port}`).join(",");
    const long = 15_000;
    const url = `redis://${hosts}?sentinel=${group.name}&namespace=${namespace()}&maxTtl=${long}`;
    await plain(group.primary.port).config("SET", "save", "");
    const [a, b] = [
      await candidate(`${url}&durability=assumed`, { ttl: long }),
      await candidate(url, { ttl: long }),
    ];
    const bid = a.bid("x", "a");
    const token = tokenOf(await a.claim(bid));
    const replicated = plain(group.replica.port);
    await eventually("it is replicated", async () => (await replicated.keys("*")).length >= 2);
    const proofs = keepProving(b);
    await group.primary.kill();
    await eventually(
      "the sessions go on over the promoted server",
      () => proofs.outcomes.at(-1) === "alive" && proofs.outcomes.includes("unknown"),
      30_000,
    );
    await proofs.stop();
    expect(proofs.outcomes).not.toContain("dead");
    expect(await b.claim(b.bid("x"))).toMatchObject({ kind: "held", by: { id: "a", token } });
    expect(await b.claim(b.bid("free"))).toMatchObject({ kind: "held", by: null });
    await group.primary.restart();
  },
  patience,
);

test(
  "RD-9 Cluster: redirected to the slot's node, never across slots; a moving slot loses nothing and elects nobody twice",
  async () => {
    await using group = await startRedisCluster();
    const name = namespace();
    const options = {
      cluster: [{ host: "127.0.0.1", port: 1 }, ...group.nodes],
      namespace: name,
      maxTtl,
      durability: "assumed",
    } as const;
    const records = `elect:{${name}}`;
    // The first seed is dead (G-28): the first call fails, the next goes on.
    await expect(candidate(options)).rejects.toThrow(/ECONNREFUSED/);
    const adapters = [];
    for (const seed of group.nodes)
      adapters.push(await candidate({ ...options, cluster: [seed] }, { ttl: maxTtl }));
    const [a, b, c] = adapters as [Candidate, Candidate, Candidate];
    const bid = a.bid("x", "a");
    const token = tokenOf(await a.claim(bid));
    expect(await b.claim(b.bid("x"))).toMatchObject({ kind: "held", by: { token } });
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });

    // Your own Cluster client.
    const client = new Cluster([...group.nodes]);
    onTestFinished(() => client.disconnect());
    const d = await candidate({ client, namespace: name, maxTtl, durability: "assumed" }, { ttl: maxTtl });
    expect(await d.claim(d.bid("x"))).toMatchObject({ kind: "held", by: { token } });
    tokenOf(await d.claim(d.bid("z")));

    // The slot moves to another node, key by key; in the middle of it, the records and some sessions have gone ahead.
    const nodes = group.nodes.map(({ port }) => plain(port));
    const slot = Number(await nodes[0]!.call("CLUSTER", ["KEYSLOT", records]));
    const ids = await Promise.all(nodes.map(async (node) => String(await node.call("CLUSTER", ["MYID"]))));
    const from = (
      await Promise.all(
        nodes.map(async (node) => (await node.call("CLUSTER", ["COUNTKEYSINSLOT", slot])) as number),
      )
    ).findIndex((keys) => keys > 0);
    const to = (from + 1) % nodes.length;
    await nodes[to]!.call("CLUSTER", ["SETSLOT", slot, "IMPORTING", ids[from]!]);
    await nodes[from]!.call("CLUSTER", ["SETSLOT", slot, "MIGRATING", ids[to]!]);
    const target = group.servers[to]!;
    const address = target.container.getIpAddress(group.peers.name);
    const migrate = async (...keys: string[]): Promise<void> => {
      await nodes[from]!.call("MIGRATE", [address, target.port, "", 0, 5000, "KEYS", ...keys]);
    };
    // A leader's session has gone ahead of the records: where it was, it is not taken for dead.
    await migrate(`${records}:s:${d.session.id}`);
    await expect(c.claim(c.bid("z"))).rejects.toThrow(/non local key/);
    await migrate(records, `${records}:s:${b.session.id}`);
    expect(await d.prove()).toMatchObject({ kind: "alive" });
    // b's keys have all gone: it is asked to the new node, where a's session has not arrived. It must not be taken for dead.
    expect(await b.prove()).toMatchObject({ kind: "alive" });
    expect(await b.claim(b.bid("x", "b"))).toMatchObject({ kind: "held", by: null });
    // a's are on both nodes: unknown for now.
    await expect(a.prove(bid)).rejects.toThrow(/TRYAGAIN/);
    const rest = (await nodes[from]!.call("CLUSTER", ["GETKEYSINSLOT", slot, 1000])) as string[];
    await migrate(...rest);
    for (const node of [nodes[to]!, nodes[from]!])
      await node.call("CLUSTER", ["SETSLOT", slot, "NODE", ids[to]!]);
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    expect(tokenOf(await a.claim(bid))).toBe(token);
    await c.claim(c.bid("x"));
    await a.session.release([bid], call());
    await eventually("a waiter is told, over the cluster's bus", () =>
      [b, c, d].some(({ heard }) => heard.all.includes("hint x")),
    );
    await group.servers[to]!.kill();
    await expect(b.prove()).rejects.toThrow(/closed|ECONN|CLUSTERDOWN/);
  },
  patience,
);
