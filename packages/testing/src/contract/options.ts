import type { Backend } from "@elect/core";
import type { Capabilities } from "@elect/core/adapter";
import type { FaultTarget } from "./fault-target.ts";

/** What the suite must know of a backend. */
export interface ElectionContract {
  /** The backend's name, for the names of the tests. */
  readonly name: string;
  /** The store: a URL that `connect` of this contract takes, and (in child processes) `connect` of `@elect/core`. */
  readonly url: string;
  /** A fresh backend on the store behind `url`. Each call stands for another process: it shares no session. */
  readonly connect: (url: string) => Backend | Promise<Backend>;
  /** Where faults can be put between a candidate and the store. */
  readonly faults: FaultTarget | None;
  /** What somebody with access to the store can do behind the candidates' backs. */
  readonly operator: Operator | None;
  /** What the adapter's README says of it; the suite asserts that the backend declares the same. */
  readonly capabilities: Capabilities;
  /**
   * A module that exports `fromUrl(url)`, for child processes, where `connect(url)` of `@elect/core` does not know the
   * scheme: `import.meta.resolve("../src/index.ts")`.
   */
  readonly adapter?: string;
  /** The TTL of the elections, in ms. Raise it where the store has a floor: it must be granted as asked. @default 2000 */
  readonly ttl?: number;
}

/** Why a backend has nothing to offer here: one sentence, printed with every test that is skipped for it. */
export interface None {
  readonly none: string;
}

export interface Operator {
  /** Deletes the record by which the election's leader leads, and nothing else. */
  readonly removeLeader: (election: string) => Promise<void>;
  /** Ends the session of the election's leader, as an administrator of the store would (revoke, kill, delete). */
  readonly endSession: (election: string) => Promise<void>;
  /** What the store still holds on behalf of this election's candidates; not counting what keeps tokens rising. */
  readonly leftovers: (election: string) => Promise<readonly string[]>;
  /**
   * Writes something that means nothing, and settles when that is acknowledged: asked again and again, past all faults. If it takes
   * longer than a proof takes to come, the store itself stood still, and a test that failed meanwhile is played once more.
   */
  readonly touch?: () => Promise<unknown>;
}

export function isNone(value: object): value is None {
  return "none" in value;
}
