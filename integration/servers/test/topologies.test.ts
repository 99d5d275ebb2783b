// Every topology starts, serves its driver, survives the fault that it is for, and is gone in the end.
import { setTimeout as sleep } from "node:timers/promises";
import { Cluster } from "ioredis";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  startEtcdCluster,
  startPooledPostgres,
  startPostgresPair,
  startRedisCluster,
  startRedisSentinel,
  startZookeeperEnsemble,
} from "../src/index.ts";
import { zookeeperAnswers } from "../src/answers.ts";
import {
  etcdDriver,
  postgresDriver,
  readZookeeper,
  withPostgres,
  withRedis,
  withZookeeper,
  zookeeperDriver,
} from "./drivers.ts";
import { leftovers } from "./leftovers.ts";

let before: string[];
beforeEach(() => {
  before = leftovers();
});
afterEach(() => {
  expect(leftovers()).toEqual(before);
});

test("Redis Sentinel fails over to the replica, and clients on the host are led to it", async () => {
  await using topology = await startRedisSentinel();
  const { name, sentinels, primary, replica } = topology;
  const throughSentinel = { name, sentinels: [...sentinels], sentinelRetryStrategy: () => 100 };

  await withRedis(throughSentinel, async (redis) => {
    expect(redis.options.name).toBe(name);
    await redis.set("word", "first");
    expect(await redis.wait(1, 5000)).toBe(1);
    expect(await redis.config("GET", "port")).toEqual(["port", `${primary.port}`]);
  });
  await primary.kill();
  await until(async () =>
    withRedis(throughSentinel, async (redis) => {
      expect(await redis.config("GET", "port")).toEqual(["port", `${replica.port}`]);
      expect(await redis.get("word")).toBe("first");
      await redis.set("word", "second");
    }),
  );
  await primary.restart();
  expect(await withRedis({ port: primary.port }, async (redis) => redis.ping())).toBe("PONG");
});

test.for(["redis", "valkey"] as const)(
  "a cluster of %s sends clients on the host to the right node",
  async (kind) => {
    await using topology = await startRedisCluster({ kind });
    const { nodes, servers } = topology;
    const cluster = new Cluster([nodes[0]!]);
    cluster.on("error", () => {});
    try {
      for (let n = 0; n < 30; n += 1) await cluster.set(`key-${n}`, n);
      const found = await Promise.all(
        cluster.nodes("master").map(async (node) => (await node.keys("*")).length),
      );
      expect(found).toHaveLength(3);
      expect(found.every((count) => count > 0)).toBe(true);
      expect(found.reduce((sum, count) => sum + count)).toBe(30);

      await servers[1]!.restart();
      await until(async () => expect(await cluster.cluster("INFO")).toContain("cluster_state:ok"));
    } finally {
      cluster.disconnect();
    }
  },
);

test("a PostgreSQL standby follows its primary, refuses writes, and is promoted onto a timeline of its own", async () => {
  await using pair = await startPostgresPair({ synchronous: true });
  const { primary, standby } = pair;
  await postgresDriver.keep(primary.url, "first");
  await until(async () =>
    withPostgres(standby.url, async (client) => {
      expect((await client.query("select word from words")).rows).toEqual([{ word: "first" }]);
      await expect(client.query("delete from words")).rejects.toThrow("read-only");
    }),
  );
  await standby.restart();
  await primary.kill();
  await pair.promote();
  await withPostgres(standby.url, async (client) => {
    await client.query("set synchronous_commit = local");
    await client.query("update words set word = 'second'");
    const { rows } = await client.query("select pg_walfile_name(pg_current_wal_lsn()) as file");
    expect(rows).toEqual([{ file: expect.stringMatching(/^00000002/) as string }]);
  });
});

test("PgBouncer shares connections by transaction or lends them by session, as the URL says", async () => {
  await using pooled = await startPooledPostgres();
  const backends = async (url: string) =>
    withPostgres(url, async (one) => {
      const pid = async () =>
        (await one.query<{ pid: number }>("select pg_backend_pid() as pid")).rows[0]?.pid;
      const mine = await pid();
      // Meanwhile somebody else holds the connection that `one` was served by, if it was given back.
      return withPostgres(url, async (other) => {
        await other.query("begin");
        await other.query("select 1");
        return { before: mine, after: await pid() };
      });
    });
  const shared = await backends(pooled.transactionUrl);
  expect(shared.after).not.toBe(shared.before);
  const lent = await backends(pooled.sessionUrl);
  expect(lent.after).toBe(lent.before);

  await pooled.postgres.restart();
  await pooled.pooler.restart();
  expect(await postgresDriver.keep(pooled.transactionUrl, "first")).toBe("first");
});

test("an etcd cluster serves without one member, and a member that is cut off serves nothing", async () => {
  await using cluster = await startEtcdCluster();
  const [first, second, third] = cluster.members;
  expect(await etcdDriver.keep(cluster.url, "first")).toBe("first");
  await first!.kill();
  await until(async () => expect(await etcdDriver.keep(second!.url, "second")).toBe("first"));
  await first!.restart();
  expect(await etcdDriver.keep(first!.url, "second")).toBe("first");

  await cluster.peers.isolate(third!);
  const inTime = await Promise.race([
    etcdDriver.keep(third!.url, "third").catch(() => "nothing"),
    sleep(2000, "nothing"),
  ]);
  expect(inTime).toBe("nothing");
  await until(async () => expect(await etcdDriver.keep(first!.url, "third")).toBe("first"));
  await cluster.peers.rejoin(third!);
  await until(async () => expect(await etcdDriver.keep(third!.url, "third")).toBe("first"));
});

test("a ZooKeeper ensemble serves without one server; one that is cut off answers reads until it notices", async () => {
  await using ensemble = await startZookeeperEnsemble();
  const [first, second, third] = ensemble.servers;
  expect(await zookeeperDriver.keep(ensemble.url, "first")).toBe("first");
  await first!.kill();
  await until(async () => expect(await zookeeperDriver.keep(second!.url, "second")).toBe("first"));
  await first!.restart();
  expect(await zookeeperDriver.keep(first!.url, "third")).toBe("first");

  await withZookeeper(third!.url, async (client) => {
    await ensemble.peers.isolate(third!);
    expect(await readZookeeper(client, "/word")).toBe("first");
  });
  await until(async () => expect(await zookeeperAnswers(third!.port)).toBe(false));
  expect(await zookeeperDriver.keep(first!.url, "fourth")).toBe("first");
  await ensemble.peers.rejoin(third!);
  await until(async () => expect(await zookeeperAnswers(third!.port)).toBe(true));
});

/** Tries again until it does not throw: what a cluster does after a fault takes it some time. */
async function until(attempt: () => Promise<unknown>): Promise<void> {
  for (const end = performance.now() + 20_000; ; await sleep(100)) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
    }
  }
}
