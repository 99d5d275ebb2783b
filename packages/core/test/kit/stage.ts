/** What most tests begin with: a clock that stands still, a store that does as it is told, and elections on it. */

import { FakeClock } from "../../../testing/src/fake-clock.ts";
import { createBackend, type Backend } from "../../src/backend.ts";
import { createElection, type Election } from "../../src/election.ts";
import type { ElectionOptions } from "../../src/options.ts";
import type { Term } from "../../src/term.ts";
import { ScriptedStore } from "./scripted-store.ts";

export const ttl = 3_000;

/** For a lease of {@link ttl}: sending + ttl less 1 % less the margin of 5 %. */
export const validFor: number = ttl * 0.99 - ttl * 0.05;

export interface Stage {
  readonly clock: FakeClock;
  readonly store: ScriptedStore;
  readonly backend: Backend;
  elect(name?: string, options?: Partial<ElectionOptions>): Election;
}

export function stage(seed = 1): Stage {
  const clock = new FakeClock(seed);
  const store = new ScriptedStore(() => clock.now());
  const backend = createBackend(store, { clock });
  return {
    clock,
    store,
    backend,
    elect: (name = "nightly-report", options = {}) => createElection({ backend, name, ttl, ...options }),
  };
}

/** Campaigns on a store that grants at once. */
export async function elected(on: Stage, election: Election): Promise<Term> {
  const term = election.campaign();
  await on.clock.advance(0);
  return term;
}

/** All that an election says, one line each. */
export function journal(election: Election): string[] {
  const lines: string[] = [];
  election.on("state", ({ from, to }) => void lines.push(`${from} > ${to}`));
  election.on("elected", ({ term }) => void lines.push(`elected ${term.token}`));
  election.on("lost", ({ term, reason }) => void lines.push(`lost ${term.token} ${reason}`));
  election.on("overdue", ({ term }) => void lines.push(`overdue ${term.token}`));
  election.on("trouble", ({ error }) => void lines.push(`trouble ${(error as Error).message}`));
  return lines;
}

/** How a promise has settled so far, without waiting for it. */
export interface Watched<T> {
  state: "pending" | "resolved" | "rejected";
  value: T | undefined;
  reason: unknown;
}

export function watched<T>(promise: Promise<T>): Watched<T> {
  const seen: Watched<T> = { state: "pending", value: undefined, reason: undefined };
  promise.then(
    (value) => Object.assign(seen, { state: "resolved", value }),
    (reason: unknown) => Object.assign(seen, { state: "rejected", reason }),
  );
  return seen;
}

/** Lets every promise chain run out that does not wait for a timer. */
export async function settle(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}

export async function microtasks(count: number): Promise<void> {
  for (let tick = 0; tick < count; tick++) await Promise.resolve();
}
