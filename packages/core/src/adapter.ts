/** What adapters, and tests of adapters, are built with: `@elect/core/adapter`. */

export { createBackend, type Backend } from "./backend.ts";
export { machineClock, MachineClock, type Clock, type Timer } from "./clock.ts";
export {
  ElectError,
  InvalidOptionError,
  RefusedError,
  TokenRegressionError,
  type ElectErrorCode,
} from "./errors.ts";
export { MemoryAdapter, type MemoryOptions } from "./memory.ts";
export type {
  Adapter,
  Call,
  CandidateRecord,
  Capabilities,
  Claim,
  ClaimAnswer,
  ClaimRequest,
  LeaderRecord,
  Limit,
  OpenRequest,
  Patience,
  Poll,
  Proof,
  Session,
  SessionEvents,
  Takeover,
  Watch,
} from "./port.ts";
