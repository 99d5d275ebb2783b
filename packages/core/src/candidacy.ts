/**
 * One candidate at work: hands facts to the transition function and carries out the effects it answers with. What
 * happens when is decided in `election-state.ts`; how claims reach the store, in `claims.ts` and `session.ts`; what
 * users see of it is in `candidate-election.ts`.
 */

import { onAbort, raceAbort } from "./abort.ts";
import type { Claimant } from "./claim-book.ts";
import type { Clock, Timer } from "./clock.ts";
import { publish, type TermMessage } from "./diagnostics.ts";
import {
  initial,
  publicState,
  transition,
  type Effect,
  type Fact,
  type PublicState,
  type State,
} from "./election-state.ts";
import { BusyError } from "./errors.ts";
import { Listeners } from "./events.ts";
import type { ResolvedOptions } from "./options.ts";
import type { CandidateRecord } from "./port.ts";
import type { SharedSession } from "./session.ts";
import { HeldTerm, type TermHost } from "./term.ts";

export class Candidacy implements Claimant, TermHost {
  readonly election: string;
  readonly candidate: CandidateRecord;
  readonly address: string;
  readonly clock: Clock;
  readonly session: SharedSession;
  readonly listeners: Listeners;
  /** Aborts, with a `ClosedError`, when the election is closed. */
  readonly closed: AbortController = new AbortController();
  leftUntil = 0;
  readonly options: ResolvedOptions;
  readonly #facts: Fact[] = [];
  #state: State = initial;
  #telling = false;
  #term: HeldTerm | null = null;
  #campaign: { resolve: (term: HeldTerm) => void; reject: (reason: unknown) => void } | null = null;
  /** Settles with the function that `run()` runs; null when none runs. */
  #work: Promise<unknown> | null = null;
  #drain: Timer | null = null;
  /** The token of a term that ended by the clock: the store may still hold its record. */
  #expired: bigint | null = null;
  /** Resolved at the next change of state, if anybody waits for it. */
  #change: PromiseWithResolvers<void> | null = null;

  constructor(session: SharedSession, options: ResolvedOptions) {
    this.session = session;
    this.address = session.address;
    this.clock = session.clock;
    this.election = options.name;
    this.candidate = { id: options.id ?? this.clock.nonce().slice(0, 16), metadata: options.metadata };
    this.options = options;
    this.listeners = new Listeners(options.name);
  }

  get state(): PublicState {
    this.#term?.isValid();
    return publicState(this.#state);
  }

  /** The token of the term whose record the store may hold; `null` if there is none. */
  get heldToken(): bigint | null {
    return "token" in this.#state ? this.#state.token : this.#expired;
  }

  get phase(): State["phase"] {
    return this.#state.phase;
  }

  /** Whether something of an earlier term or campaign is left to be given back. */
  get givingBack(): boolean {
    return this.phase === "withdrawing" || this.phase === "releasing";
  }

  /** Waits to be elected. */
  async campaign(signal: AbortSignal | undefined): Promise<HeldTerm> {
    signal?.throwIfAborted();
    if (this.#work !== null) throw this.#busy();
    this.closed.signal.throwIfAborted();
    await raceAbort(this.givenBack(), signal);
    this.closed.signal.throwIfAborted();
    if (this.phase !== "idle") throw this.#busy();
    const { promise, resolve, reject } = Promise.withResolvers<HeldTerm>();
    this.#campaign = { resolve, reject };
    this.session.join(this);
    this.tell({ kind: "campaign", nonce: this.clock.nonce() });
    const unlisten = onAbort(signal, (reason) => this.tell({ kind: "abandon", reason }));
    return promise.finally(unlisten);
  }

  /** Work is running in the term: nothing is given back before `worked` says that it has settled. */
  working(work: Promise<unknown>): void {
    this.#work = work;
  }

  worked(term: HeldTerm): void {
    this.#work = null;
    this.#drain?.cancel();
    if (this.#term === term) this.tell({ kind: "work-done" });
  }

  async resign(term: HeldTerm): Promise<void> {
    if (this.#term !== term) return this.#work === null ? this.givenBack() : undefined;
    if (this.#work !== null) return this.tell({ kind: "end", reason: "resigned" });
    this.tell({ kind: "work-done" });
    await this.givenBack();
  }

  /**
   * Facts are taken one at a time, in the order in which they came: what a listener does (resign, close) is
   * a fact of its own and waits until the effects of the one before are done.
   */
  tell(fact: Fact): void {
    this.#facts.push(fact);
    if (this.#telling) return;
    this.#telling = true;
    try {
      for (let next = this.#facts.shift(); next !== undefined; next = this.#facts.shift()) this.#take(next);
    } finally {
      this.#telling = false;
    }
  }

  trouble(error: unknown): void {
    this.listeners.emit("trouble", { error });
  }

  /** Settles when nothing of an earlier term or campaign is left to be given back. */
  async givenBack(): Promise<void> {
    while (this.givingBack) await this.#changed;
  }

  /** Settles when no work runs that was told to stop. */
  async stopped(): Promise<void> {
    while (this.phase === "draining") await this.#changed;
    await this.#work?.catch(() => {});
  }

  who(): string {
    return `Election "${this.election}" on ${this.address}: candidate ${this.candidate.id}`;
  }

  #take(fact: Fact): void {
    const before = this.#state;
    const { state, effects } = transition(before, fact, this.clock.now());
    this.#state = state;
    // Validity ends before anybody hears of it.
    for (const effect of effects) if (effect.kind === "lost") this.#term?.end(effect.reason);
    const [from, to] = [publicState(before), publicState(state)];
    if (from !== to) this.listeners.emit("state", { from, to });
    for (const effect of effects) this.#effect(effect);
    if (state.phase === before.phase) return;
    this.#change?.resolve();
    this.#change = null;
  }

  get #changed(): Promise<void> {
    return (this.#change ??= Promise.withResolvers<void>()).promise;
  }

  #effect(effect: Effect): void {
    switch (effect.kind) {
      case "claim":
        return this.session.claim(effect.nonce, this);
      case "release":
        return this.session.claims.release(effect.nonce);
      case "elected": {
        const term = new HeldTerm(this, this.options.generation, effect.token, effect.lease);
        this.#term = term;
        this.#expired = null;
        this.#publish(term, "elected");
        this.listeners.emit("elected", { term });
        this.#campaign?.resolve(term);
        return;
      }
      case "stop":
        this.#term?.stop(effect.reason, effect.detail);
        if (this.#work !== null) this.#limitDrain();
        return;
      case "drain":
        return this.#limitDrain();
      case "lost": {
        const term = this.#term;
        this.#term = null;
        if (this.#work === null) this.#drain?.cancel();
        if (term === null) return;
        if (effect.reason === "expired") this.#expired = term.token;
        this.#publish(term, "lost", effect.reason);
        this.listeners.emit("lost", { term, reason: effect.reason });
        return;
      }
      case "reject":
        this.#campaign?.reject(effect.reason);
    }
  }

  /** Work that was told to stop and does not is reported once; nothing is taken from under it. */
  #limitDrain(): void {
    const term = this.#term;
    if (term === null) return;
    this.#drain?.cancel();
    this.#drain = this.clock.timer(this.options.drainTimeout, () => {
      this.#publish(term, "overdue");
      this.listeners.emit("overdue", { term });
    });
    this.#drain.unref();
  }

  #publish(term: HeldTerm, event: TermMessage["event"], reason?: string): void {
    publish("term", () => ({
      store: this.address,
      election: this.election,
      candidate: this.candidate.id,
      token: term.token,
      event,
      reason,
    }));
  }

  #busy(): BusyError {
    return new BusyError(
      `${this.who()} is ${this.state} already. One Election is one candidate: resign, or create another.`,
    );
  }
}
