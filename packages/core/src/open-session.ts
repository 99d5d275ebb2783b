/**
 * One session of the store while it lasts: proven every third of the TTL, until nobody needs it, the lease runs out, or
 * the store says that it is over.
 *
 * A failed proof or a lost link ends nothing: it makes the terms `uncertain`, and proving goes on, with jitter, until
 * one is acknowledged or the lease runs out.
 */

import { bounded } from "./call.ts";
import type { Claimant } from "./claim-book.ts";
import type { Claims } from "./claims.ts";
import type { Clock } from "./clock.ts";
import { publish, type TroubleMessage } from "./diagnostics.ts";
import { about, backOff } from "./jitter.ts";
import { Lease } from "./lease.ts";
import type { Proof, Session, SessionEvents } from "./port.ts";
import { within } from "./within.ts";

/**
 * How a session came to an end: nobody needs it any more (it is ended in the store, in one step), no proof was acknowledged
 * in time (the store may still hold it, and ends it by itself), or the store said so.
 */
export type End = "unneeded" | "expired" | "dead";

/**
 * One proof may take a fifth of the TTL: short enough for two more attempts before the deadline, long enough to connect
 * again over a slow link.
 */
const proofShare = 5;

/** However long the TTL: a proof is one round trip, and `close()` waits for one that is under way. */
const longestProof = 5_000;

export interface SessionHost {
  readonly clock: Clock;
  readonly claims: Claims;
  /** Where the store is. */
  readonly address: string;
  /** Whether the process is to stay alive for the session. */
  awaited(): boolean;
  trouble(during: TroubleMessage["during"], error: unknown): void;
}

export class OpenSession {
  readonly session: Session;
  readonly lease: Lease;
  /** Aborts the calls that are under way when their answers are of no use any more. */
  readonly over: AbortController = new AbortController();
  readonly #host: SessionHost;
  readonly #clock: Clock;
  readonly #claims: Claims;
  /** False from a failed proof or a lost link until the next acknowledged proof. */
  #certain = true;
  /** When to prove next. */
  #proveAt: number;
  #woken = Promise.withResolvers<void>();
  /** Set once, by `finish`. */
  end: End | null = null;
  /** At its end: those for whom the store may hold something. */
  #exposed: readonly Claimant[] = [];

  /** `sentAt` is the instant just before the session was asked for. */
  constructor(host: SessionHost, session: Session, sentAt: number) {
    this.#host = host;
    this.#clock = host.clock;
    this.#claims = host.claims;
    this.session = session;
    this.lease = new Lease(sentAt, session.ttlMs, session.proofLagMs);
    this.#proveAt = sentAt + this.#period();
    this.#publish("opened");
  }

  /** Proves the session until it is over. */
  async keep(): Promise<void> {
    const { session, lease } = this;
    let failures = 0;
    while (this.end === null) {
      const now = this.#clock.now();
      if (now >= lease.validUntil) return this.finish("expired");
      if (now < this.#proveAt) {
        this.#woken = Promise.withResolvers();
        const ms = Math.min(this.#proveAt, lease.validUntil) - now;
        await within(this.#clock, ms, this.#woken.promise, this.#host.awaited());
        continue;
      }
      if (await this.#prove()) {
        failures = 0;
        // Where proofs lag, one that is sent too soon after an answer does not vouch for it.
        this.#proveAt = Math.max(now + this.#period(), this.#clock.now() + session.proofLagMs);
      } else {
        this.#proveAt = this.#clock.now() + backOff(this.#clock, failures++, session.ttlMs / 8);
      }
    }
  }

  /** When to prove, or whether the process is to stay for it, may have changed. */
  wake(): void {
    this.#woken.resolve();
  }

  /** The link may be gone: proves at once. */
  doubt(): void {
    if (!this.#certain) return;
    this.#certain = false;
    this.#proveAt = this.#clock.now();
    for (const claimant of this.#claims.claimants()) claimant.tell({ kind: "doubt" });
    this.wake();
  }

  finish(end: End, detail: string = end): void {
    if (this.end !== null) return;
    this.end = end;
    this.#exposed = this.#claims.exposed();
    // While work may still run (it was told to stop just now), the store's own lease keeps others out.
    if (end === "expired") this.leaveBehind();
    // Nobody wants these answers any more; a proof may still finish before the session is ended in the store.
    if (end !== "unneeded") this.over.abort();
    this.#publish("ended", detail);
    this.#claims.sessionEnded(detail);
    this.wake();
  }

  /** The store may hold the session for as long as its TTL. */
  leaveBehind(): void {
    for (const claimant of this.#exposed) claimant.leftUntil = this.#clock.now() + this.session.ttlMs;
  }

  /** Every third of the TTL, so that two proofs may fail; a tenth earlier or later, so that processes do not march in step. */
  #period(): number {
    return about(this.#clock, this.session.ttlMs / 3);
  }

  /** One proof. It races the deadline: an answer that comes too late finds the session over. */
  async #prove(): Promise<boolean> {
    const { session, lease } = this;
    const sentAt = this.#clock.now();
    const limit = Math.min(session.ttlMs / proofShare, longestProof, lease.validUntil - sentAt);
    const held = new Map(this.#claims.held);
    let outcome: Proof["kind"] | "unknown" = "unknown";
    let failure: unknown;
    try {
      const { signal } = this.over;
      const proof = await bounded(this.#clock, limit, (call) => session.prove(held, call), { signal });
      outcome = proof.kind;
      if (this.end === null) this.#hear(proof, sentAt);
    } catch (error) {
      failure = error;
      if (this.end === null) {
        this.#host.trouble("prove", error);
        this.doubt();
      }
    }
    publish("proof", () => ({
      store: this.#host.address,
      session: session.id,
      took: this.#clock.now() - sentAt,
      outcome,
      error: failure,
    }));
    return outcome === "alive";
  }

  #hear(proof: Proof, sentAt: number): void {
    if (proof.kind === "dead") return this.finish("dead", proof.reason);
    // The lease may have run out while the answer was under way: then it is over, whatever the store says now.
    if (this.#clock.now() >= this.lease.validUntil) return this.finish("expired");
    this.lease.extend(sentAt, proof.ttlMs, this.#clock.now());
    for (const claim of proof.lost) this.#claims.lost(claim, "its record is gone");
    if (!this.#certain) {
      this.#certain = true;
      for (const claimant of this.#claims.claimants()) claimant.tell({ kind: "certain" });
    }
  }

  #publish(event: "opened" | "ended", reason?: string): void {
    const { id, ttlMs, warnings } = this.session;
    publish("session", () => ({
      store: this.#host.address,
      session: id,
      ttl: ttlMs,
      event,
      reason,
      warnings,
    }));
  }
}

/** What the store says of a session between calls. Before it is open and after its end, nobody listens. */
export function eventsOf(host: SessionHost, current: () => OpenSession | null): SessionEvents {
  const live = (react: (open: OpenSession) => void): void => {
    const open = current();
    if (open?.end === null) react(open);
  };
  return {
    hint: (election) => live(() => host.claims.hint(election)),
    doubt: (cause) =>
      live((open) => {
        host.trouble("prove", cause);
        open.doubt();
      }),
    lost: (claim, reason) => live(() => host.claims.lost(claim, reason)),
    ended: (reason) => live((open) => open.finish("dead", reason)),
  };
}
