import { describeElectionContract, networkFaults } from "@elect/testing/contract";
import { zookeeper } from "../src/index.ts";
import { capabilities } from "../src/adapter.ts";
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
  capabilities,
});
