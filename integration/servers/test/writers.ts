// A user's own client of each store, which writes one value: plainly, or only while a term leads.
import { guardedTxn } from "@elect/etcd";
import { termCondition } from "@elect/postgres";
import { guardedSet } from "@elect/redis";
import { guardedMulti } from "@elect/zookeeper";
import type { Term } from "@elect/core";
import { Etcd3 } from "etcd3";
import { CreateMode } from "node-zookeeper-client";
import type { StoreName } from "../campaigns/stores.ts";
import { readZookeeper, withPostgres, withRedis, withZookeeper } from "./drivers.ts";

export interface Writer {
  plain(value: string): Promise<unknown>;
  /** Whether it was written. */
  guarded(term: Term, value: string): Promise<boolean>;
  read(): Promise<string>;
}

/** Opens a client of the server at this port, for as long as `use` takes. */
export type WithWriter = <T>(
  url: string,
  namespace: string,
  use: (writer: Writer) => Promise<T>,
) => Promise<T>;

const onRedis: WithWriter = async (url, namespace, use) =>
  withRedis({ port: portOf(url) }, async (redis) => {
    const key = `{${namespace}}:written`;
    return use({
      plain: async (value) => redis.set(key, value),
      guarded: async ({ election, token }, value) =>
        guardedSet(redis, { election, token, namespace }, key, value),
      read: async () => (await redis.get(key)) ?? "",
    });
  });

export const writers: Readonly<Record<StoreName, WithWriter>> = {
  Redis: onRedis,
  Valkey: onRedis,
  PostgreSQL: async (url, schema, use) =>
    withPostgres(url, async (client) => {
      await client.query(`create table if not exists ${schema}.written as select 'nothing' as value`);
      const update = `update ${schema}.written set value = $1`;
      return use({
        plain: async (value) => client.query(update, [value]),
        async guarded({ election, token }, value) {
          const sql = `${update} where ${termCondition("$2", "$3", schema)}`;
          return (await client.query(sql, [value, election, token])).rowCount === 1;
        },
        async read() {
          const { rows } = await client.query<{ value: string }>(`select value from ${schema}.written`);
          return rows[0]?.value ?? "";
        },
      });
    }),
  async etcd(url, namespace, use) {
    const client = new Etcd3({ hosts: `http://127.0.0.1:${portOf(url)}` });
    const key = `${namespace}-written`;
    try {
      return await use({
        plain: async (value) => client.put(key).value(value),
        guarded: async (term, value) =>
          guardedTxn(client, term, [client.put(key).value(value)], { namespace }),
        read: async () => (await client.get(key).string()) ?? "",
      });
    } finally {
      client.close();
    }
  },
  ZooKeeper: async (url, namespace, use) =>
    withZookeeper(`zookeeper://127.0.0.1:${portOf(url)}`, async (client) => {
      const path = `/${namespace}-written`;
      await new Promise((done) => client.create(path, Buffer.alloc(0), CreateMode.PERSISTENT, done));
      return use({
        plain: async (value) => new Promise((done) => client.setData(path, Buffer.from(value), -1, done)),
        guarded: async (term, value) =>
          guardedMulti(client, term, (transaction) => transaction.setData(path, Buffer.from(value)), {
            namespace,
          }),
        read: async () => readZookeeper(client, path),
      });
    }),
};

function portOf(url: string): number {
  return Number(/:(\d+)(?:[/?]|$)/.exec(url)?.[1]);
}
