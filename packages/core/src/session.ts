/**
 * This process's session with one store at one TTL, shared by all its elections: opened when the first of them
 * campaigns, opened anew when it ends, given up when the last of them is closed. What one of them goes through is in
 * open-session.ts; what an older one still says is ignored.
 */

import { bounded, rest } from "./call.ts";
import type { Claimant } from "./claim-book.ts";
import { Claims, type ClaimsHost } from "./claims.ts";
import type { Clock } from "./clock.ts";
import { publish, type TroubleMessage } from "./diagnostics.ts";
import { RefusedError } from "./errors.ts";
import { backOff } from "./jitter.ts";
import { eventsOf, OpenSession, type SessionHost } from "./open-session.ts";
import type { Adapter } from "./port.ts";

export class SharedSession implements ClaimsHost, SessionHost {
  readonly clock: Clock;
  readonly ttl: number;
  readonly claims: Claims;
  readonly address: string;
  readonly #adapter: Adapter;
  /** The elections that may campaign; none left means that the session is to be ended. */
  readonly #elections = new Set<object>();
  /** Those that are closed, but whose work runs on: the session is proven for them, as long as the process lives. */
  readonly #background = new Set<object>();
  #open: OpenSession | null = null;
  #life: Promise<void> | null = null;
  #giveUp = new AbortController();
  /** Whether the store has ever let us in. */
  #opened = false;

  constructor(adapter: Adapter, clock: Clock, ttl: number) {
    this.clock = clock;
    this.address = adapter.address;
    this.#adapter = adapter;
    this.claims = new Claims(this);
    this.ttl = ttl;
  }

  /** An election is going to campaign. */
  join(election: object): void {
    this.#elections.add(election);
    if (this.#background.size > 0) this.#open?.wake();
  }

  /** The election is closed. With the last one, the session ends; settles when it has, in bounded time. */
  async leave(election: object): Promise<void> {
    this.#elections.delete(election);
    this.#background.delete(election);
    if (this.#elections.size + this.#background.size > 0 || this.#life === null) return;
    this.#giveUp.abort();
    this.#open?.finish("unneeded");
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
    this.#open?.wake();
  }

  awaited(): boolean {
    return this.#elections.size > 0;
  }

  failed(during: "claim" | "release" | "dispose", error: unknown): void {
    this.trouble(during, error);
    this.#open?.doubt();
  }

  expired(): void {
    this.#open?.finish("expired");
  }

  trouble(during: TroubleMessage["during"], error: unknown): void {
    publish("trouble", () => ({ store: this.address, during, error }));
    for (const claimant of this.claims.claimants()) claimant.trouble(error);
  }

  async #live(): Promise<void> {
    while (this.awaited() && this.claims.size > 0) {
      const open = await this.#begin();
      if (open === null) continue;
      // The last election may have left while the answer was on its way.
      if (!this.awaited()) open.finish("unneeded");
      else this.claims.sessionOpened(open);
      await open.keep();
      await this.#finish(open);
    }
    // In the same breath as the last look at the claims: the next claim finds that a life has to begin.
    this.#life = null;
  }

  /** Opens a session, however long the store is away. `null`: it refused, or nobody wants one any more. */
  async #begin(): Promise<OpenSession | null> {
    const { clock } = this;
    for (let attempt = 0; this.awaited(); attempt++) {
      if (this.#giveUp.signal.aborted) this.#giveUp = new AbortController();
      let opened: OpenSession | null = null;
      const request = { ttlMs: this.ttl, nonce: clock.nonce(), events: eventsOf(this, () => opened) };
      const sentAt = clock.now();
      try {
        const session = await bounded(
          clock,
          Math.max(1_000, this.ttl / 2),
          (call) => this.#adapter.open(request, call),
          { signal: this.#giveUp.signal, late: (late) => late.abandon() },
        );
        this.#opened = true;
        return (this.#open = opened = new OpenSession(this, session, sentAt));
      } catch (error) {
        if (!this.awaited()) return null;
        // A store that has never let us in will not; one that has and now refuses is having a fail-over.
        if (error instanceof RefusedError && !this.#opened) {
          this.claims.refuseAll(error);
          return null;
        }
        this.trouble("open", error);
        await rest(clock, backOff(clock, attempt, Math.min(this.ttl, 5_000)), this.#giveUp.signal);
      }
    }
    return null;
  }

  async #finish(open: OpenSession): Promise<void> {
    const { session, end, over } = open;
    this.#open = null;
    over.abort();
    if (end === "unneeded") {
      try {
        await bounded(this.clock, Math.min(this.ttl / 2, 2_000), (call) => session.end(call));
        return;
      } catch (error) {
        open.leaveBehind();
        this.trouble("end", error);
      }
    }
    session.abandon();
  }
}
