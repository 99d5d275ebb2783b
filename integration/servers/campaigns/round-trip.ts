// The raw round trip: one small write through the driver that the adapter of a store uses, one after the other.
import { Etcd3 } from "etcd3";
import { CreateMode } from "node-zookeeper-client";
import { withPostgres, withRedis, withZookeeper } from "../test/drivers.ts";
import { quantile } from "./figures.ts";
import type { Store, StoreName } from "./stores.ts";

type Write = () => Promise<unknown>;
type WithWrite = (store: Store, use: (write: Write) => Promise<number>) => Promise<number>;

const onRedis: WithWrite = async ({ server: { port } }, use) =>
  withRedis({ port }, async (redis) => use(async () => redis.set("round-trip", "x")));

const writers: Readonly<Record<StoreName, WithWrite>> = {
  Redis: onRedis,
  Valkey: onRedis,
  PostgreSQL: async ({ server }, use) =>
    withPostgres(server.url, async (client) => {
      await client.query("create table if not exists round_trip as select 1 as id, 0 as n");
      return use(async () => client.query("update round_trip set n = n + 1 where id = 1"));
    }),
  etcd: async ({ server }, use) => {
    const client = new Etcd3({ hosts: `http://127.0.0.1:${server.port}` });
    try {
      return await use(async () => client.put("round-trip").value("x"));
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
const writes = 300;

/** The p50 in ms. */
export async function roundTrip(store: Store): Promise<number> {
  return writers[store.name](store, async (write) => {
    const times: number[] = [];
    for (let round = 0; round < warmUp + writes; round += 1) {
      const since = performance.now();
      await write();
      if (round >= warmUp) times.push(performance.now() - since);
    }
    return quantile(times, 0.5);
  });
}
