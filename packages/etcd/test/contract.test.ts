import { describeElectionContract, networkFaults } from "@elect/testing/contract";
import { Etcd3 } from "etcd3";
import { capabilities } from "../src/adapter.ts";
import { etcd } from "../src/index.ts";
import { Keys } from "../src/keys.ts";
import { nonce, url as server } from "./support.ts";

const namespace = `elect-contract-${nonce()}`;
const url = `${server}?namespace=${namespace}`;
const client = new Etcd3({ hosts: server.replace("etcd://", "") });
const keys = new Keys(namespace);

describeElectionContract({
  name: "etcd",
  url,
  connect: etcd,
  faults: networkFaults(url),
  operator: {
    removeLeader: async (election) => void (await client.delete().key(keys.leader(election))),
    endSession: async (election) => {
      const { kvs } = await client.get(keys.leader(election)).exec();
      await client.leaseClient.leaseRevoke({ ID: kvs[0]!.lease });
    },
    leftovers: async (election) => client.getAll().prefix(`${namespace}/elections/${election}/`).keys(),
    touch: async () => client.put(`${namespace}-touched`).value(performance.now()),
  },
  capabilities: {
    reach: "network",
    crash: { ttls: 1, plusMs: 1_000 },
    stopped: { ttls: 1, plusMs: 1_000 },
    order: "fifo",
    maxTtlMs: 300_000,
    limits: capabilities.limits,
  },
});
