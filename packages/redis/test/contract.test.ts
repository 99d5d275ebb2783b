import { describeElectionContract, networkFaults } from "@elect/testing/contract";
import { Redis } from "ioredis";
import { redis } from "../src/index.ts";
import { namespace, sharedServer } from "./support.ts";

const server = await sharedServer();
const records = namespace();
const url = `${server.url}?namespace=${records}&maxTtl=10000`;
const store = new Redis(server.port, { lazyConnect: false });
const key = `elect:{${records}}`;
const sessionOf = async (election: string): Promise<string> => (await store.hget(key, `r:${election}`))?.split(" ")[0] ?? "";

describeElectionContract({
  name: "redis",
  url,
  connect: redis,
  adapter: import.meta.resolve("../src/index.ts"),
  faults: networkFaults(url),
  operator: {
    removeLeader: async (election) => void (await store.hdel(key, `r:${election}`)),
    endSession: async (election) => void (await store.del(`${key}:s:${await sessionOf(election)}`)),
    leftovers: async (election) => {
      const [record, waiting] = await Promise.all([store.hget(key, `r:${election}`), store.zrange(`${key}:q:${election}`, "0", "-1")]);
      return record === null ? waiting : [record, ...waiting];
    },
  },
  capabilities: {
    reach: "network",
    crash: { ttls: 1, plusMs: 300 },
    stopped: { ttls: 1, plusMs: 300 },
    order: "none",
    maxTtlMs: 10_000,
    limits: redis(url).capabilities.limits,
  },
});
