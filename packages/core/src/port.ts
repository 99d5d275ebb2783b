/**
 * The port: what a store must be able to do so that core can elect on it.
 *
 * Core decides, adapters report. All time, retries, deadlines, state and events live in core, once.
 * An adapter has no timer, no deadline and no opinion about who leads; it translates the calls below
 * into operations of its store and reports what the store answered.
 *
 * Three rules hold for every method that returns a promise:
 *
 * 1. **A returned value is a fact that the store decided. A rejection means "unknown"** — it may have
 *    happened, it may still happen. The one exception is {@link RefusedError}: nothing was or will be done, and
 *    trying again cannot help until somebody changes something. When the first `open` of a backend rejects with it,
 *    the campaigns do too. Later it is taken for unknown and tried again: a store that has let us in and
 *    now refuses is having a fail-over. (To refuse one claim for good, answer `{ kind: "refused" }`.)
 * 2. **The call is over when `call.signal` aborts.** The adapter then destroys the connection that may
 *    still carry the request (a driver's own timeout does not take a request back) and rejects. A
 *    destroyed connection is not a dead session: the next call connects again, to the same session.
 * 3. **Nothing is retried, queued or resent by the driver.** Core retries, and knows that it does.
 *
 * And the rules of sessions, each with a counter-example that was reproduced or derived:
 *
 * - S1 *Death is one step.* A session is declared dead once, by one atomic write to the session itself
 *   that no later proof can undo; only then are its records free. A proof is conditional on "not dead"
 *   and never re-creates a session.
 * - S2 A record names session *and* nonce. A claim that finds a record of its own session returns it
 *   unchanged for the same nonce and reports it held for any other.
 * - S3 *A claim is not a proof.* It is granted only in a step that sees the claimant's session alive;
 *   it extends nothing.
 * - S4 *No late ghosts.* A claim carries the session's generation, compared in the step that grants it;
 *   `dispose` raises the generation first, so that a delayed copy of an older claim is refused.
 * - S5 *Third parties are noticed.* A record or session deleted by somebody else is reported by the next
 *   proof at the latest.
 * - S6 *Who cleans up* is written down in each adapter; the cleaner deletes while holding what proves
 *   death. A missing session record means "lease over", never "lock free".
 */

import type { RefusedError } from "./errors.ts";

/** What bounds one port call. */
export interface Call {
  /** Aborts when the call's time is up, or when nobody wants the answer any more. */
  readonly signal: AbortSignal;
  /** Milliseconds the call may take, for drivers that take a deadline of their own. */
  readonly timeoutMs: number;
}

/** One store, reached in one way. Made by an adapter's factory, used by core only. */
export interface Adapter {
  /** The adapter's short name, for messages: `"redis"`. Core never compares it. */
  readonly kind: string;
  /** Where the store is, for messages: a URL without credentials. */
  readonly address: string;
  readonly capabilities: Capabilities;

  /**
   * Opens a session: this process's liveness link with the store, for all its elections of one TTL.
   * Checks what would break the promises (a standby, a transaction pooler, a missing privilege) and
   * rejects with a {@link RefusedError} that names it.
   */
  open(request: OpenRequest, call: Call): Promise<Session>;

  /** Ends the session that a {@link Session.ticket} names, from any process. Ending a dead one is a no-op. */
  end(ticket: string, call: Call): Promise<void>;

  /** Who leads. A record whose session is known to be dead, or whose lease is over, is nobody. */
  read(election: string, call: Call): Promise<LeaderRecord | null>;

  /** The live candidates, the leader included; in waiting order where the store keeps one. */
  candidates(election: string, call: Call): Promise<readonly CandidateRecord[]>;

  /**
   * Calls `changed` when reading the leader again may give another answer; also after any gap in which a
   * change could have been missed. A hint only: core reads again at least every `pollMs`.
   */
  watch(election: string, changed: () => void, call: Call): Promise<Watch>;

  /** Lets go of everything that is not a session (those have been ended). Settles when `call.signal` aborts. */
  close(call: Call): Promise<void>;
}

export interface OpenRequest {
  /** The lease asked for, in ms. The store may grant more, never less. */
  readonly ttlMs: number;
  /** Unique to this session: 128 random bits in hexadecimal. */
  readonly nonce: string;
  readonly events: SessionEvents;
}

/**
 * What a session reports between calls. Each may be called at any time, from any stack, any number of times;
 * none throws. Core ignores whatever an ended session still reports.
 */
export interface SessionEvents {
  /** Trying to claim makes sense now: this election, or (`null`) any of those waiting. */
  hint(election: string | null): void;
  /** The link was lost or shaken and nothing is decided: core proves the session at once. */
  doubt(cause: unknown): void;
  /** The store said that a claim's record (or place in the queue) is gone or somebody else's. */
  lost(claim: Claim, reason: string): void;
  /** The store said that the session is over. */
  ended(reason: string): void;
}

/** One process's liveness link with the store, shared by all its elections of one TTL. */
export interface Session {
  /** The name under which the store knows the session, for messages. */
  readonly id: string;
  /**
   * Which store this is (cluster id, system identifier, inode…): tokens of one election in one store
   * must rise, and core refuses a regression. Stays the same over restarts and reconnects.
   */
  readonly store: string;
  /** The lease granted, in ms: from the moment an acknowledged proof was sent, the store ends nothing for so long. */
  readonly ttlMs: number;
  /**
   * 0: an acknowledged proof vouches for itself. Otherwise it vouches only for proofs that had been acknowledged at
   * least so many ms before it was sent (ZooKeeper checks a write against the session at the leader, but touches the
   * session only in the next ping of the follower that took the write: see the adapter).
   */
  readonly proofLagMs: number;
  /** All that another process needs to end this session: a serialised value without secrets. */
  readonly ticket: string;
  /** How to learn that claiming makes sense where the store cannot push; `null` where it can. */
  readonly poll: Poll | null;
  /** What an operator should change, one sentence each: settings that weaken what the store can promise. */
  readonly warnings: readonly string[];

  /**
   * One round trip that commits a write at the authority that could end the session.
   * `held` are the claims this session was granted, by nonce: the answer names those it found lost.
   */
  prove(held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof>;

  /**
   * Claims elections for candidates, in as few round trips as the store allows. One answer for each request,
   * in their order. Joins the queue where there is one. Idempotent by nonce. Core has one
   * `claim`, `release` or `dispose` of a session under way at a time (a `prove` may run beside it).
   *
   * Where the store takes many claims in several steps, `heard` may be told the answer to `requests[index]` as soon as it is
   * known, so that it is acted on while the store is at the next step. It is returned all the same; and once the
   * promise has settled, or `call.signal` has aborted, nothing may be told.
   */
  claim(
    requests: readonly ClaimRequest[],
    call: Call,
    heard?: (index: number, answer: ClaimAnswer) => void,
  ): Promise<readonly ClaimAnswer[]>;

  /**
   * Afterwards none of these nonces holds or waits for its election, and for each election let go a waiter is woken.
   * Deletes only what names this session and nonce. What is not there any more is a success.
   */
  release(claims: readonly Claim[], call: Call): Promise<void>;

  /** For claims of unknown outcome: raises the session's generation (S4), then does what `release` does. */
  dispose(claims: readonly Claim[], call: Call): Promise<void>;

  /** Ends the session in one step, frees all it holds, wakes the waiters, and lets go of its connections. */
  end(call: Call): Promise<void>;

  /** Lets go of the connections at once and without a word to the store, which will notice by itself. */
  abandon(): void;
}

/** One candidate's bid for one election. */
export interface Claim {
  readonly election: string;
  /** Unique to the campaign: 128 random bits in hexadecimal. */
  readonly nonce: string;
}

export interface ClaimRequest extends Claim {
  readonly candidate: CandidateRecord;
  /**
   * Set when core has watched `Patience.version` of the holder stay the same for `Patience.leaseMs` (and the drift
   * allowance) on its own clock: the store may now take over from exactly that version.
   */
  readonly unchanged: string | null;
}

export type ClaimAnswer =
  | { readonly kind: "granted"; readonly token: bigint }
  | {
      readonly kind: "held";
      /** The holder, where the store says so in the same step. */
      readonly by: LeaderRecord | null;
      /**
       * Claiming again makes sense after so many ms even without a hint. `null`: the store pushes, and core's net alone
       * is under it (decision 4).
       */
      readonly retryInMs: number | null;
      /** Set where the server's clock cannot judge this holder: core times it with its own. */
      readonly patience: Patience | null;
    }
  /** The store, or the adapter before asking it, said no for a reason that trying again does not mend. */
  | { readonly kind: "refused"; readonly error: RefusedError }
  /** For stores that need a step for each election: this one's outcome is open. */
  | { readonly kind: "unknown"; readonly cause: unknown };

export interface Patience {
  /** Changes whenever the holder renews. */
  readonly version: string;
  readonly leaseMs: number;
}

export type Proof =
  | {
      readonly kind: "alive";
      /** The lease from the moment this proof was sent, in ms. */
      readonly ttlMs: number;
      /**
       * Which of `held` this proof renews: all, as they hang on the session. A store that renews each record by itself
       * (Kubernetes Leases) will answer with their nonces; core then keeps a lease for each (decision 3).
       */
      readonly covers: "all";
      /** Claims of `held` whose record is gone or somebody else's. */
      readonly lost: readonly Claim[];
    }
  | { readonly kind: "dead"; readonly reason: string };

export interface LeaderRecord {
  readonly id: string;
  readonly token: bigint;
  /** The candidate's metadata as core serialised it. */
  readonly metadata: string;
}

export interface CandidateRecord {
  readonly id: string;
  /** The candidate's metadata as core serialised it. */
  readonly metadata: string;
}

export interface Watch {
  /** The net under the push: core reads again after so many ms. */
  readonly pollMs: number;
  close(): void;
}

export interface Poll {
  readonly everyMs: number;
  /** Cheap and independent of the number of elections: the elections worth claiming now, or all of them. */
  look(waiting: ReadonlyMap<string, Claim>): "all" | readonly string[];
}

/** What a backend can promise; asserted by the contract suite and printed in the adapter's README. */
export interface Capabilities {
  /** Which candidates can meet in an election on this backend. */
  readonly reach: "process" | "host" | "network";
  /** How long after its death a crashed leader is replaced, at most. */
  readonly crash: Takeover;
  /** The same for one that is stopped or cut off; `null`: it keeps its place for as long as it likes. */
  readonly stopped: Takeover | null;
  /** Whether candidates win in the order in which they began to wait. */
  readonly order: "fifo" | "none";
  /** The longest TTL that may be asked for, in ms. */
  readonly maxTtlMs: number;
  /** The promises of the contract that do not hold without reserve, each with the sentence that says when. */
  readonly limits: readonly Limit[];
}

/** At most `ttls` × the granted TTL + `plusMs`. */
export interface Takeover {
  readonly ttls: number;
  readonly plusMs: number;
}

export interface Limit {
  /** The number of the promise in the contract (see the README). */
  readonly promise: number;
  readonly sentence: string;
}
