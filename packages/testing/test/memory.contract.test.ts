import { memory } from "@elect/core";
import { describeElectionContract } from "../src/contract.ts";

describeElectionContract({
  name: "memory",
  url: "contract",
  connect: (name) => memory({ name }),
  faults: { none: "its store is in the same process: there is no network in between" },
  operator: { none: "nobody but the candidates' process has access to its store" },
  capabilities: {
    reach: "process",
    crash: { ttls: 1, plusMs: 300 },
    stopped: { ttls: 1, plusMs: 300 },
    order: "fifo",
    maxTtlMs: 86_400_000,
    limits: [
      {
        promise: 4,
        sentence: "Tokens begin again with each process.",
      },
    ],
  },
});
