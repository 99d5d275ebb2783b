/**
 * What Elect is tested with, for your tests: a store that fails on command, a clock moved by hand, a TCP proxy that
 * breaks connections at an exact point, candidates in processes to stop and kill, and a checker of what they did.
 * The contract that every backend keeps is at `@elect/testing/contract`.
 *
 * @module
 */

export {
  checkHistory,
  checkLifecycle,
  checkMutualExclusion,
  checkTokens,
  type CheckOptions,
  type Violation,
} from "./checker.ts";
export { ChildCandidate, startCandidate, type ObservedTerm, type StartOptions } from "./child-candidate.ts";
export type { CandidateOptions, Order, Report } from "./candidate-protocol.ts";
export { FakeClock } from "./fake-clock.ts";
export type { Direction, Slowness } from "./fault-pipe.ts";
export { FaultProxy, openFaultProxy, type Observer, type ProxyTarget, type Trigger } from "./fault-proxy.ts";
export { HistoryLog, readHistory, type History, type HistoryRecord, type RecordKind } from "./history.ts";
export type { Fault, Passing, ProxiedConnection } from "./proxied-connection.ts";
export { runFaultCampaign, summarise, type CampaignOptions, type CampaignReport } from "./campaign.ts";
export { faultyMemory, FaultyMemory, type FaultyMemoryOptions } from "./faulty-memory.ts";
export type { Operation } from "./faulty-link.ts";
export type { FaultRecord, Gap, SeenLeader } from "./takeovers.ts";
