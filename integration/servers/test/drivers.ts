// One write and one read through the driver that the adapter of a store uses, on a connection of their own.
import { Etcd3 } from "etcd3";
import { Redis, type SentinelConnectionOptions } from "ioredis";
import { CreateMode, createClient, type Client as ZookeeperClient } from "node-zookeeper-client";
import { Client as PostgresClient } from "pg";

export interface Driver {
  /** Stores a word at the server, unless there is one; returns the word that is there. */
  keep(url: string, word: string): Promise<string>;
}

export async function withRedis<T>(
  where: { port: number } | Pick<SentinelConnectionOptions, "name" | "sentinels" | "sentinelRetryStrategy">,
  use: (redis: Redis) => Promise<T>,
): Promise<T> {
  const redis = new Redis({ lazyConnect: true, maxRetriesPerRequest: 0, ...where });
  redis.on("error", () => {});
  try {
    await redis.connect();
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

export async function withPostgres<T>(url: string, use: (client: PostgresClient) => Promise<T>): Promise<T> {
  const client = new PostgresClient({ connectionString: url });
  client.on("error", () => {});
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.end();
  }
}

async function withEtcd<T>(url: string, use: (client: Etcd3) => Promise<T>): Promise<T> {
  const client = new Etcd3({ hosts: hostsOf(url).map((host) => `http://${host}`) });
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

export async function withZookeeper<T>(
  url: string,
  use: (client: ZookeeperClient) => Promise<T>,
): Promise<T> {
  const client = createClient(hostsOf(url).join(","), { sessionTimeout: 4000 });
  try {
    await new Promise<void>((connected) => {
      client.once("connected", connected);
      client.connect();
    });
    return await use(client);
  } finally {
    client.close();
  }
}

export const redisDriver: Driver = {
  async keep(url, word) {
    return withRedis({ port: Number(new URL(url).port) }, async (redis) => {
      await redis.set("word", word, "NX");
      return (await redis.get("word")) ?? "";
    });
  },
};

export const postgresDriver: Driver = {
  async keep(url, word) {
    return withPostgres(url, async (client) => {
      await client.query("create table if not exists words (id int primary key, word text)");
      await client.query("insert into words values (1, $1) on conflict do nothing", [word]);
      const { rows } = await client.query<{ word: string }>("select word from words");
      return rows[0]?.word ?? "";
    });
  },
};

export const etcdDriver: Driver = {
  async keep(url, word) {
    return withEtcd(url, async (client) => {
      await client.if("word", "Create", "==", 0).then(client.put("word").value(word)).commit();
      return (await client.get("word").string()) ?? "";
    });
  },
};

export const zookeeperDriver: Driver = {
  async keep(url, word) {
    return withZookeeper(url, async (client) => {
      await new Promise((done) => {
        client.create("/word", Buffer.from(word), CreateMode.PERSISTENT, done);
      });
      return readZookeeper(client, "/word");
    });
  },
};

export async function readZookeeper(client: ZookeeperClient, path: string): Promise<string> {
  return new Promise((done, failed) => {
    client.getData(path, (error, data) => {
      if (error instanceof Error) failed(error);
      else done(data.toString());
    });
  });
}

function hostsOf(url: string): string[] {
  return url.replace(/^\w+:\/\//, "").split(",");
}
