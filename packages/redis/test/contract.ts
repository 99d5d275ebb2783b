/** The contract on one server: as a user with exactly the documented rights (RD-13), where the server is ours. */

import { describeElectionContract, networkFaults } from "@elect/testing/contract";
import { Redis } from "ioredis";
import type { Server } from "../../../integration/servers/src/index.ts";
import { redis } from "../src/index.ts";
import { namespace, privileges } from "./support.ts";

export async function describeRedisContract(name: string, server: Server): Promise<void> {
  const space = namespace();
  const records = `elect:{${space}}`;
  const store = new Redis(server.url);
  if (server.owned) await store.call("ACL", ["SETUSER", "elect", "on", ">secret", ...privileges(space)]);
  const login = server.owned ? server.url.replace("://", "://elect:secret@") : server.url;
  const url = `${login}?namespace=${space}&maxTtl=10000&durability=assumed`;
  const sessionOf = async (election: string): Promise<string> =>
    (await store.hget(records, `r:${election}`))?.split(" ")[0] ?? "";

  describeElectionContract({
    name,
    url,
    connect: redis,
    adapter: import.meta.resolve("../src/index.ts"),
    faults: networkFaults(url),
    operator: {
      removeLeader: async (election) => void (await store.hdel(records, `r:${election}`)),
      endSession: async (election) => void (await store.del(`${records}:s:${await sessionOf(election)}`)),
      leftovers: async (election) => {
        const record = await store.hget(records, `r:${election}`);
        const waiting = await store.zrange(`${records}:q:${election}`, "0", "-1");
        return record === null ? waiting : [record, ...waiting];
      },
      touch: async () => store.set(`touched-${space}`, performance.now()),
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
}
