/** One period of leadership, as its holder sees it. */

import type { Clock } from "./clock.ts";
import { NotLeaderError } from "./errors.ts";
import type { Fact, LossReason } from "./election-state.ts";
import type { Validity } from "./lease.ts";

/**
 * A term. It is valid until its deadline, which every acknowledged proof moves on; nobody else's term of the same
 * election is valid before that. Hand `token` (or `fence`) to whatever you change, and let it refuse a lower one:
 * that protects also from what no deadline can, such as a write that was under way.
 */
export interface Term {
  readonly election: string;
  /** The fencing token: greater than that of every earlier term of this election. Below 2⁶³. */
  readonly token: bigint;
  /** (generation, token) as 30 characters that sort like the pair: `"0000000000.0000000000000000042"`. */
  readonly fence: string;
  /**
   * Aborts when the term ends or is to end: at the deadline at the latest (as soon as the event loop runs), at once
   * when the store says that it is over. The reason is a {@link NotLeaderError}. While the election is `draining`
   * the signal is aborted and the term still valid: finish, and write what must be written.
   */
  readonly signal: AbortSignal;
  /** Whether the term is valid now, by the clock. No I/O. Right also in the first statement after a stall. */
  isValid(): boolean;
  /** Throws a {@link NotLeaderError} unless the term is valid. Put it before each effect. */
  assertValid(): void;
  /** For how many ms the term is valid if no further proof is acknowledged; 0 when it is over. */
  remaining(): number;
  /**
   * Ends the term. By hand: you have stopped working; settles when the record was given back (or when the session
   * with the store is over, which gives it back too). Inside `run()`: aborts the signal and settles at once; the record
   * is given back when your function has settled. Never rejects. Ending an ended term is a no-op.
   */
  resign(): Promise<void>;
  /** `resign()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

const generationDigits = 10;
const tokenDigits = 19;

export function fence(generation: number, token: bigint): string {
  return `${String(generation).padStart(generationDigits, "0")}.${String(token).padStart(tokenDigits, "0")}`;
}

export interface TermHost {
  readonly clock: Clock;
  readonly election: string;
  readonly address: string;
  tell(fact: Fact): void;
  resign(term: HeldTerm): Promise<void>;
}

/** The term of an election that is leading; the election ends it. */
export class HeldTerm implements Term {
  readonly election: string;
  readonly token: bigint;
  readonly #host: TermHost;
  readonly #generation: number;
  readonly #lease: Validity;
  #controller: AbortController | undefined;
  /** Why the term is over; null while it may be valid. */
  #over: LossReason | null = null;

  constructor(host: TermHost, generation: number, token: bigint, lease: Validity) {
    this.#host = host;
    this.election = host.election;
    this.token = token;
    this.#generation = generation;
    this.#lease = lease;
  }

  get fence(): string {
    return fence(this.#generation, this.token);
  }

  get signal(): AbortSignal {
    this.isValid();
    return this.#stopping.signal;
  }

  isValid(): boolean {
    if (this.#over !== null) return false;
    if (this.#host.clock.now() < this.#lease.validUntil) return true;
    // Nobody had noticed.
    this.#host.tell({ kind: "look" });
    return false;
  }

  assertValid(): void {
    if (!this.isValid()) throw this.#error(this.#over ?? "expired", "the term is over");
  }

  remaining(): number {
    return this.isValid() ? Math.max(0, this.#lease.validUntil - this.#host.clock.now()) : 0;
  }

  resign(): Promise<void> {
    return this.#host.resign(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.resign();
  }

  /** Tells the work to stop. */
  stop(reason: LossReason, detail: string): void {
    if (!this.#stopping.signal.aborted) this.#stopping.abort(this.#error(reason, detail));
  }

  /** From now on not valid. */
  end(reason: LossReason): void {
    this.#over ??= reason;
  }

  /** Made when it is needed: whoever takes over a thousand elections at once is in a hurry. */
  get #stopping(): AbortController {
    return (this.#controller ??= new AbortController());
  }

  #error(reason: LossReason, detail: string): NotLeaderError {
    return new NotLeaderError(
      this.election,
      this.token,
      reason,
      `Election "${this.election}" on ${this.#host.address}: no longer leader under token ${this.token} (${reason}: ${detail}). ` +
        `Stop, and campaign again.`,
    );
  }
}
