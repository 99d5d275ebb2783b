import { describeElectionContract, networkFaults } from "@elect/testing/contract";
import pg from "pg";
import { afterAll } from "vitest";
import { postgres } from "../src/index.ts";
import { freshSchema, sharedServer } from "./support.ts";

const server = await sharedServer();
const schema = freshSchema();
const url = `${server.url}?schema=${schema}`;
const store = new pg.Pool({ connectionString: server.url, max: 2 });
await store.query(`create table ${schema}_touched as select 0 as times`);
afterAll(async () => {
  await store.query(`drop schema if exists ${schema} cascade`);
  await store.query(`drop table ${schema}_touched`);
  await store.end();
});

describeElectionContract({
  name: "postgres",
  url,
  connect: postgres,
  adapter: import.meta.resolve("../src/index.ts"),
  faults: networkFaults(url),
  operator: {
    removeLeader: async (election) =>
      void (await store.query(`delete from ${schema}.election where name = $1`, [election])),
    endSession: async (election) =>
      void (await store.query(
        `update ${schema}.session set dead = true where id = (select session from ${schema}.election where name = $1)`,
        [election],
      )),
    leftovers: async (election) => {
      const { rows } = await store.query<{ found: string }>(
        `select 'election ' || name as found from ${schema}.election where name = $1
         union all select 'waiter ' || nonce from ${schema}.waiter where election = $1`,
        [election],
      );
      return rows.map(({ found }) => found);
    },
    touch: async () => store.query(`update ${schema}_touched set times = times + 1`),
  },
  capabilities: {
    reach: "network",
    crash: { ttls: 1, plusMs: 300 },
    stopped: { ttls: 1, plusMs: 400 },
    order: "none",
    maxTtlMs: 86_400_000,
    limits: postgres(url).capabilities.limits,
  },
});
