/**
 * Leader election: exactly one of many processes leads.
 *
 * What is promised, on every backend, is in the README. What is not, on any:
 *
 * - Two terms of one election are never valid at the same instant *given that clocks run at rates within 1 % of each
 *   other*. A machine all of whose clocks stop (a virtual machine frozen and thawed) is outside of that: it wakes up
 *   believing that no time has passed. So is a store whose records somebody else deletes, for the time until the next
 *   proof notices.
 * - A check is not an effect. Between `isValid()` and the effect it allows, a process can be stopped for any time.
 *   Only a resource that refuses old fencing tokens is safe from that: hand it `term.token`.
 * - A backend that cannot keep a promise (asynchronous fail-over, for one) says so in `backend.capabilities.limits`.
 *
 * @module
 */

export type { Backend } from "./backend.ts";
export { connect } from "./connect.ts";
export type {
  ListenerMessage,
  ProofMessage,
  SessionMessage,
  TermMessage,
  TroubleMessage,
} from "./diagnostics.ts";
export {
  createElection,
  type Cancellation,
  type CloseReport,
  type Election,
  type Remainder,
} from "./election.ts";
export type { LossReason, PublicState } from "./election-state.ts";
export {
  AdapterMissingError,
  BusyError,
  ClosedError,
  ElectError,
  InvalidOptionError,
  NotLeaderError,
  RefusedError,
  TokenRegressionError,
  UnreachableError,
  type ElectErrorCode,
} from "./errors.ts";
export type { ElectionEvents } from "./events.ts";
export { memory, type MemoryOptions } from "./memory.ts";
export type { Candidate, Leader } from "./observation.ts";
export type { ElectionOptions, Metadata } from "./options.ts";
export type { Capabilities, Limit, Takeover } from "./port.ts";
export type { Term } from "./term.ts";
