/**
 * `@elect/testing/contract`: the promises of Elect as one vitest suite, for every backend the same.
 *
 * ```ts
 * import { describeElectionContract, networkFaults } from "@elect/testing/contract";
 *
 * describeElectionContract({
 *   name: "redis",
 *   url,
 *   connect: redis,
 *   faults: networkFaults(url),
 *   operator: { removeLeader: …, endSession: …, leftovers: … },
 *   capabilities: { reach: "network", … },
 * });
 * ```
 *
 * Nothing is skipped silently. What a backend cannot show is said in its own words (`{ none: "…" }`) or follows from
 * what it declares (`reach`, `stopped`, `order`), and the test appears as skipped with that sentence.
 */

export { describeElectionContract } from "./contract/describe.ts";
export { networkFaults, type Endpoint, type FaultTarget } from "./contract/fault-target.ts";
export type { ElectionContract, None, Operator } from "./contract/options.ts";
