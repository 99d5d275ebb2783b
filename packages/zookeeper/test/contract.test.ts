import { describeElectionContract, networkFaults } from "@elect/testing/contract";
import { zookeeper } from "../src/index.ts";
import { operator } from "./operator.ts";
import { namespace, url as server } from "./support.ts";

const own = namespace();
const url = `${server}/?namespace=${own}`;

describeElectionContract({
  name: "zookeeper",
  url,
  connect: zookeeper,
  faults: networkFaults(url, { takesSeveral: true }),
  operator: operator(own),
  capabilities: {
    reach: "network",
    crash: { ttls: 1, plusMs: 3_500 },
    stopped: { ttls: 1, plusMs: 3_500 },
    order: "fifo",
    maxTtlMs: 2_147_483_647,
    limits: [
      {
        promise: 1,
        sentence:
          "Needs minSessionTimeout to be at least 2 × tickTime on every server, which is ZooKeeper's default.",
      },
    ],
  },
});
