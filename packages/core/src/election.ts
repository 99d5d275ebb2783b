/** The public entry: one candidate in one election. */

import { insideOf } from "./backend.ts";
import { CandidateElection } from "./candidate-election.ts";
import type { PublicState } from "./election-state.ts";
import type { ElectionEvents } from "./events.ts";
import type { Candidate, Leader } from "./observation.ts";
import { resolveOptions, type ElectionOptions } from "./options.ts";
import type { Term } from "./term.ts";

/** For every method that waits: rejects with the signal's reason, untouched, when it aborts. */
export interface Cancellation {
  readonly signal?: AbortSignal | undefined;
}

export interface Election {
  readonly name: string;
  /** This candidate's id. */
  readonly id: string;
  readonly state: PublicState;
  /** Listens; the returned function stops listening. A listener that throws harms nothing. */
  on<Name extends keyof ElectionEvents>(
    name: Name,
    listener: (event: ElectionEvents[Name]) => unknown,
  ): () => void;
  /**
   * Campaigns, and runs `work` while leader. When the term is lost, waits until `work` has settled (its
   * `term.signal` is aborted) and campaigns again. Resolves with what `work` returns while the term is its own,
   * rejects with what it throws for reasons of its own, with the signal's reason when that aborts (after `work` has
   * settled and the term was given back), and with a `ClosedError` when the election is closed.
   */
  run<Result>(work: (term: Term) => Promise<Result> | Result, options?: Cancellation): Promise<Result>;
  /** Waits to be elected. Use it with `await using`, so that the term is resigned. The signal ends the waiting only. */
  campaign(options?: Cancellation): Promise<Term>;
  /** Who leads, as the store says now; `null` if nobody. Rejects with `UnreachableError` when it does not say. */
  leader(options?: Cancellation): Promise<Leader | null>;
  /** The leader now, then each change, the newest only; ends when the election is closed. */
  observe(options?: Cancellation): AsyncGenerator<Leader | null, void, undefined>;
  /** The live candidates, the leader included; in waiting order where the store has one. */
  candidates(options?: Cancellation): Promise<Candidate[]>;
  /**
   * Stops campaigning; ends a term as `aborted` does, waits for its work (`drainTimeout` at most), gives everything
   * back. Settles in bounded time, never rejects, and says what it had to leave behind.
   */
  close(): Promise<CloseReport>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What `close()` had to leave in the store. */
export interface CloseReport {
  readonly remains: readonly Remainder[];
}

export interface Remainder {
  readonly election: string;
  readonly candidate: string;
  /** The token of the term that is still held; `null` for a place in the queue. */
  readonly token: bigint | null;
  /** `work-running`: given back when the work ends. `store-unreachable`: it ends there by itself. */
  readonly because: "work-running" | "store-unreachable";
  /** For how many ms from now at most; `Infinity` while work runs. */
  readonly forMs: number;
}

/** A candidate for `options.name`. Starts nothing before `campaign()` or `run()`. */
export function createElection(options: ElectionOptions): Election {
  const inside = insideOf(options.backend);
  return new CandidateElection(inside, resolveOptions(options, inside.adapter.capabilities.maxTtlMs));
}
