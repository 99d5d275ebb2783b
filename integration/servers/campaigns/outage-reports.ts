// What a process of candidates is told and what it says, on both sides.
import { inspect } from "node:util";
import type { Footprint } from "./footprint.ts";

export interface CandidatesOptions {
  readonly url: string;
  /** Unique to the process. */
  readonly name: string;
  readonly elections: readonly string[];
  readonly ttl: number;
  /** Where the history of each candidate goes: what it claimed, and when. */
  readonly directory: string;
  /** Whether it also observes every election, and asks who leads and who else wants to. */
  readonly looksOn: boolean;
  /** Controls: with each weighing it keeps so much for ever; and does all that must not happen. */
  readonly leakKb: number;
  readonly careless: boolean;
}

export type Order = { readonly do: "weigh" } | { readonly do: "close" };

/** Instants are milliseconds on the host's clock. */
export type Report =
  | { readonly said: "ready" }
  /** The store has granted or confirmed, by a proof that was sent at this instant, that it leads these. */
  | { readonly said: "leads"; readonly elections: readonly string[]; readonly at: number }
  /** `observe()` showed its leader at this instant. */
  | { readonly said: "sees"; readonly election: string; readonly at: number }
  /** Must not happen. */
  | { readonly said: "problem"; readonly what: string }
  | { readonly said: "weight"; readonly weight: Footprint }
  | { readonly said: "closed"; readonly tookMs: number; readonly account: Account };

export interface Account {
  readonly terms: number;
  /** Troubles with the store that Elect has reported, and gone on. */
  readonly troubles: number;
  /** Questions (`leader()`, `candidates()`) that were answered, and that found the store unreachable. */
  readonly answered: number;
  readonly unreachable: number;
  /** Leaders that it was shown by `observe()`. */
  readonly observed: number;
}

/** This process's. */
export const account = { terms: 0, troubles: 0, answered: 0, unreachable: 0, observed: 0 };

export function say(report: Report): void {
  if (process.connected) process.send?.(report);
}

/** Reports what must not happen. */
export function problem(what: string, cause?: unknown): void {
  say({ said: "problem", what: cause === undefined ? what : `${what}: ${inspect(cause)}` });
}
