import { createRequire } from "node:module";
import { redis } from "../../redis/src/index.ts";
import { describeElectionContract, networkFaults } from "../src/contract.ts";
const { Redis } = createRequire(new URL("../../redis/src/index.ts", import.meta.url).pathname)("ioredis");
const records = "ct" + Math.random().toString(36).slice(2);
const url = `redis://127.0.0.1:16379?namespace=${records}&maxTtl=4000`;
const store = new Redis(16379);
const key = `elect:{${records}}`;
const sessionOf = async (election: string): Promise<string> => (await store.hget(key, `r:${election}`))?.split(" ")[0] ?? "";
describeElectionContract({
  name: "redis",
  url,
  connect: redis,
  adapter: new URL("../../redis/src/index.ts", import.meta.url).href,
  faults: networkFaults(url),
  operator: {
    removeLeader: async (election) => void (await store.hdel(key, `r:${election}`)),
    endSession: async (election) => void (await store.del(`${key}:s:${await sessionOf(election)}`)),
    leftovers: async (election) => {
      const [record, waiting] = await Promise.all([store.hget(key, `r:${election}`), store.zrange(`${key}:q:${election}`, 0, -1)]);
      return record === null ? waiting : [record, ...waiting];
    },
  },
  capabilities: {
    reach: "network", crash: { ttls: 1, plusMs: 300 }, stopped: { ttls: 1, plusMs: 300 }, order: "none", maxTtlMs: 4000,
    limits: redis(url).capabilities.limits,
  },
});
