// The raw round trip: one small write through the driver that the adapter of a store uses.
import { Etcd3 } from "etcd3";
import { CreateMode } from "node-zookeeper-client";
import { withPostgres, withRedis, withZookeeper } from "../test/drivers.ts";
import type { Store, StoreName } from "./stores.ts";

type Write = () => Promise<unknown>;
type WithWrite = (store: Store, use: (write: Write) => Promise<void>) => Promise<void>;

const onRedis: WithWrite = async ({ server: { port } }, use) =>
  withRedis({ port }, async (redis) => use(async () => redis.set("round-trip", "x")));

const writers: Readonly<Record<StoreName, WithWrite>> = {
  Redis: onRedis,
  Valkey: onRedis,
  PostgreSQL: async ({ server }, use) =>
    withPostgres(server.url, async (client) => {
      await client.query("create table if not exists round_trip as select 1 as id, 0 as n");
      await use(async () => client.query("update round_trip set n = n + 1 where id = 1"));
    }),
  etcd: async ({ server }, use) => {
    const client = new Etcd3({ hosts: `http://127.0.0.1:${server.port}` });
    try {
      await use(async () => client.put("round-trip").value("x"));
    } finally {
      client.close();
    }
  },
  ZooKeeper: async ({ server }, use) =>
    withZookeeper(server.url, async (client) => {
      await new Promise((done) => client.create("/round-trip", Buffer.alloc(0), CreateMode.PERSISTENT, done));
      return use(
        async () => new Promise((done) => client.setData("/round-trip", Buffer.from("x"), -1, done)),
      );
    }),
};

const warmUp = 50;

/** Hands `use` a function that writes once and settles with the time that took, in ms. */
export async function withRoundTrip(
  store: Store,
  use: (measure: () => Promise<number>) => Promise<void>,
): Promise<void> {
  await writers[store.name](store, async (write) => {
    for (let round = 0; round < warmUp; round += 1) await write();
    await use(async () => {
      const since = performance.now();
      await write();
      return performance.now() - since;
    });
  });
}
