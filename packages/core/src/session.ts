/**
 * This process's session with one store at one TTL, shared by all its elections: opened when the first of them
 * campaigns, proven every third of the TTL, opened anew when it ends, given up when the last of them is closed.
 *
 * A failed proof or a lost link ends nothing: it makes the terms `uncertain`, and proving goes on, with jitter,
 * until one is acknowledged or the lease runs out. What an older session still says is ignored.
 */

import { bounded } from "./call.ts";
import type { Claimant } from "./claim-book.ts";
import { Claims } from "./claims.ts";
import type { Clock, Timer } from "./clock.ts";
import { publish, type TroubleMessage } from "./diagnostics.ts";
import { RefusedError } from "./errors.ts";
import { about, backOff } from "./jitter.ts";
import { Lease } from "./lease.ts";
import type { Adapter, Proof, Session, SessionEvents } from "./port.ts";

/**
 * How a session came to an end: nobody needs it any more (it is ended in the store, in one step), no proof was acknowledged
 * in time (the store may still hold it, and ends it by itself), or the store said so.
 */
type End = "unneeded" | "expired" | "dead";

/**
 * One proof may take a fifth of the TTL: short enough for two more attempts before the deadline, long enough to connect
 * again over a slow link.
 */
const proofShare = 5;

/** However long the TTL: a proof is one round trip, and `close()` waits for one that is under way. */
const longestProof = 5_000;

interface Open {
  readonly session: Session;
  readonly lease: Lease;
  /** Aborts the calls that are under way when their answers are of no use any more. */
  readonly over: AbortController;
  /** False from a failed proof or a lost link until the next acknowledged proof. */
  certain: boolean;
  /** When to prove next. */
  proveAt: number;
  end: End | null;
  /** At its end: those for whom the store may hold something. */
  exposed: readonly Claimant[];
}

export class SharedSession {
  readonly claims: Claims;
  readonly #adapter: Adapter;
  readonly #clock: Clock;
  readonly #ttl: number;
  /** The elections that may campaign; none left means that the session is to be ended. */
  readonly #elections = new Set<object>();
  #open: Open | null = null;
  #life: Promise<void> | null = null;
  #sleep: { timer: Timer; wake: () => void } | null = null;
  #giveUp = new AbortController();
  /** Those that are closed, but whose work runs on: the session is proven for them, as long as the process lives. */
  readonly #background = new Set<object>();
  /** Whether the store has ever let us in. */
  #opened = false;

  constructor(adapter: Adapter, clock: Clock, ttl: number) {
    this.#adapter = adapter;
    this.#clock = clock;
    this.#ttl = ttl;
    this.claims = new Claims({
      clock,
      ttl,
      address: adapter.address,
      failed: (during, error) => {
        this.#trouble(during, error);
        if (this.#open !== null) this.#doubt(this.#open);
      },
      expired: () => this.#over("expired"),
    });
  }

  /** An election is going to campaign. */
  join(election: object): void {
    this.#elections.add(election);
    if (this.#background.size > 0) this.#sleep?.wake();
  }

  /** The election is closed. With the last one, the session ends; settles when it has, in bounded time. */
  async leave(election: object): Promise<void> {
    this.#elections.delete(election);
    this.#background.delete(election);
    if (this.#elections.size + this.#background.size > 0 || this.#life === null) return;
    this.#giveUp.abort();
    this.#over("unneeded");
    await this.#life;
  }

  claim(nonce: string, claimant: Claimant): void {
    this.claims.claim(nonce, claimant);
    if (this.#life !== null) return;
    this.#life = this.#live();
  }

  /** For how long the store keeps what it holds of ours if no proof reaches it any more. */
  get ttlMs(): number {
    return this.#open?.session.ttlMs ?? 0;
  }

  /** The election is closed, and its work runs on: that alone does not keep the process alive. */
  background(election: object): void {
    this.#elections.delete(election);
    this.#background.add(election);
    this.#sleep?.wake();
  }

  async #live(): Promise<void> {
    while (this.#elections.size > 0 && this.claims.size > 0) {
      const open = await this.#begin();
      if (open === null) continue;
      // The last election may have left while the answer was on its way.
      if (this.#elections.size === 0) this.#over("unneeded");
      else this.claims.sessionOpened(open);
      await this.#keep(open);
      await this.#finish(open);
    }
    // In the same breath as the last look at the claims: the next claim finds that a life has to begin.
    this.#life = null;
  }

  /** Opens a session, however long the store is away. `null`: it refused, or nobody wants one any more. */
  async #begin(): Promise<Open | null> {
    for (let attempt = 0; this.#elections.size > 0; attempt++) {
      if (this.#giveUp.signal.aborted) this.#giveUp = new AbortController();
      let opened: Open | null = null;
      const nonce = this.#clock.nonce();
      const events = this.#events(() => opened);
      const sentAt = this.#clock.now();
      try {
        const session = await bounded(
          this.#clock,
          Math.max(1_000, this.#ttl / 2),
          (call) => this.#adapter.open({ ttlMs: this.#ttl, nonce, events }, call),
          { signal: this.#giveUp.signal, late: (late) => late.abandon() },
        );
        const lease = new Lease(sentAt, session.ttlMs, session.proofLagMs);
        const proveAt = sentAt + this.#period(session);
        opened = {
          session,
          lease,
          over: new AbortController(),
          certain: true,
          end: null,
          proveAt,
          exposed: [],
        };
        this.#open = opened;
        this.#opened = true;
        this.#publish(session, "opened");
        return opened;
      } catch (error) {
        if (this.#elections.size === 0) return null;
        // A store that has never let us in will not; one that has and now refuses is having a fail-over.
        if (error instanceof RefusedError && !this.#opened) {
          this.claims.refuseAll(error);
          return null;
        }
        this.#trouble("open", error);
        await this.#pause(backOff(this.#clock, attempt, Math.min(this.#ttl, 5_000)));
      }
    }
    return null;
  }

  /** Proves the session until it is over. */
  async #keep(open: Open): Promise<void> {
    const { session, lease } = open;
    let failures = 0;
    while (open.end === null) {
      const now = this.#clock.now();
      if (now >= lease.validUntil) return this.#over("expired");
      if (now < open.proveAt) {
        await this.#pause(Math.min(open.proveAt, lease.validUntil) - now);
        continue;
      }
      if (await this.#prove(open)) {
        failures = 0;
        // Where proofs lag, one that is sent too soon after an answer does not vouch for it.
        open.proveAt = Math.max(now + this.#period(session), this.#clock.now() + session.proofLagMs);
      } else {
        open.proveAt = this.#clock.now() + backOff(this.#clock, failures++, session.ttlMs / 8);
      }
    }
  }

  /** Every third of the TTL, so that two proofs may fail; a tenth earlier or later, so that processes do not march in step. */
  #period(session: Session): number {
    return about(this.#clock, session.ttlMs / 3);
  }

  /** One proof. It races the deadline: an answer that comes too late finds the session over. */
  async #prove(open: Open): Promise<boolean> {
    const { session, lease } = open;
    const sentAt = this.#clock.now();
    const limit = Math.min(session.ttlMs / proofShare, longestProof, lease.validUntil - sentAt);
    const held = new Map(this.claims.held);
    let outcome: Proof["kind"] | "unknown" = "unknown";
    let failure: unknown;
    try {
      const proof = await bounded(this.#clock, limit, (call) => session.prove(held, call), {
        signal: open.over.signal,
      });
      outcome = proof.kind;
      if (open.end === null) this.#hear(open, proof, sentAt);
    } catch (error) {
      failure = error;
      if (open.end === null) {
        this.#trouble("prove", error);
        this.#doubt(open);
      }
    }
    publish("proof", () => ({
      store: this.#adapter.address,
      session: session.id,
      took: this.#clock.now() - sentAt,
      outcome,
      error: failure,
    }));
    return outcome === "alive";
  }

  #hear(open: Open, proof: Proof, sentAt: number): void {
    if (proof.kind === "dead") return this.#over("dead", proof.reason);
    // The lease may have run out while the answer was under way: then it is over, whatever the store says now.
    if (this.#clock.now() >= open.lease.validUntil) return this.#over("expired");
    open.lease.extend(sentAt, proof.ttlMs, this.#clock.now());
    for (const claim of proof.lost) this.claims.lost(claim, "the store has no such record");
    if (!open.certain) {
      open.certain = true;
      for (const claimant of this.claims.claimants()) claimant.tell({ kind: "certain" });
    }
  }

  #events(current: () => Open | null): SessionEvents {
    const live = (react: (open: Open) => void): void => {
      const open = current();
      if (open !== null && open.end === null) react(open);
    };
    return {
      hint: (election) => live(() => this.claims.hint(election)),
      doubt: (cause) =>
        live((open) => {
          this.#trouble("prove", cause);
          this.#doubt(open);
        }),
      lost: (claim, reason) => live(() => this.claims.lost(claim, reason)),
      ended: (reason) => live(() => this.#over("dead", reason)),
    };
  }

  #doubt(open: Open): void {
    if (!open.certain) return;
    open.certain = false;
    open.proveAt = this.#clock.now();
    for (const claimant of this.claims.claimants()) claimant.tell({ kind: "doubt" });
    this.#sleep?.wake();
  }

  #over(end: End, detail: string = end): void {
    const open = this.#open;
    if (open !== null && open.end === null) {
      open.end = end;
      open.exposed = this.claims.exposed();
      // While work may still run (it was told to stop just now), the store's own lease keeps others out.
      if (end === "expired") this.#leaveBehind(open);
      // Nobody wants these answers any more; a proof may still finish before the session is ended in the store.
      if (end !== "unneeded") open.over.abort();
      this.#publish(open.session, "ended", detail);
      this.claims.sessionEnded(detail);
    }
    this.#sleep?.wake();
  }

  #leaveBehind({ exposed, session }: Open): void {
    for (const claimant of exposed) claimant.leftUntil = this.#clock.now() + session.ttlMs;
  }

  async #finish(open: Open): Promise<void> {
    const { session, end, over } = open;
    this.#open = null;
    over.abort();
    if (end === "unneeded") {
      try {
        await bounded(this.#clock, Math.min(this.#ttl / 2, 2_000), (call) => session.end(call));
        return;
      } catch (error) {
        this.#leaveBehind(open);
        this.#trouble("end", error);
      }
    }
    session.abandon();
  }

  /** Sleeps until woken. */
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#sleep?.timer.cancel();
        this.#sleep = null;
        resolve();
      };
      this.#sleep = { timer: this.#clock.timer(ms, wake), wake };
      if (this.#elections.size === 0) this.#sleep.timer.unref();
    });
  }

  #trouble(during: TroubleMessage["during"], error: unknown): void {
    publish("trouble", () => ({ store: this.#adapter.address, during, error }));
    for (const claimant of this.claims.claimants()) claimant.trouble(error);
  }

  #publish(session: Session, event: "opened" | "ended", reason?: string): void {
    publish("session", () => ({
      store: this.#adapter.address,
      session: session.id,
      ttl: session.ttlMs,
      event,
      reason,
      warnings: session.warnings,
    }));
  }
}
