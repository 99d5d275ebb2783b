// What candidates are to be put through, and what came of it.
import type { Footprint } from "./footprint.ts";
import type { Account } from "./outage-reports.ts";

export interface Plan {
  /** Goes on until so many outages have restarted a server, the others on top of that; or: each once. */
  readonly restarts: number | "each";
  /** The same seed picks the same outages; what the processes do in between is theirs. */
  readonly seed: number;
  /** Whether links are broken, too, once the servers are left alone. */
  readonly links: boolean;
  readonly processes: number;
  /** Controls: what each process keeps for ever with each outage; whether it does all that must not happen. */
  readonly leakKb?: number;
  readonly careless?: boolean;
}

/** One outage that was overcome. */
export interface Overcome {
  readonly name: string;
  /** From the moment when the store answered again until every election was led. */
  readonly ms: number;
}

export interface Outcome {
  readonly site: string;
  readonly seed: number;
  /** What is wrong with it; nothing, if it went as it must. */
  readonly faults: readonly string[];
  readonly overcome: readonly Overcome[];
  readonly restarts: number;
  readonly boundMs: number;
  readonly account: Account;
  readonly claims: number;
  /** After each outage, what each of the processes held. */
  readonly footprints: readonly (readonly Footprint[])[];
}
