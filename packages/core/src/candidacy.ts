/**
 * One candidate at work: hands facts to the transition function and carries out the effects it answers with. What
 * happens when is decided in `election-state.ts`; how claims reach the store, in `claims.ts` and `session.ts`.
 */

import { onAbort, raceAbort } from "./abort.ts";
import type { Inside } from "./backend.ts";
import type { Claimant } from "./claim-book.ts";
import type { Timer } from "./clock.ts";
import { publish, type TermMessage } from "./diagnostics.ts";
import type { Cancellation, CloseReport, Election, Remainder } from "./election.ts";
import {
  initial,
  publicState,
  transition,
  type Effect,
  type Fact,
  type PublicState,
  type State,
} from "./election-state.ts";
import { BusyError, ClosedError, NotLeaderError } from "./errors.ts";
import { Listeners, type ElectionEvents } from "./events.ts";
import {
  observeLeader,
  readCandidates,
  readLeader,
  type Candidate,
  type Leader,
  type View,
} from "./observation.ts";
import type { ResolvedOptions } from "./options.ts";
import type { CandidateRecord } from "./port.ts";
import type { SharedSession } from "./session.ts";
import { HeldTerm, type Term, type TermHost } from "./term.ts";

/** How long `close()` waits for the store to take a record back, in ms. */
const giveBackLimit = 2_000;

export class Candidacy implements Election, Claimant, TermHost {
  readonly name: string;
  readonly id: string;
  readonly election: string;
  readonly candidate: CandidateRecord;
  readonly address: string;
  readonly clock: Inside["clock"];
  readonly #inside: Inside;
  readonly #options: ResolvedOptions;
  readonly #session: SharedSession;
  readonly #view: View;
  readonly #listeners: Listeners;
  /** Aborted, with a `ClosedError`, by `close()`. */
  readonly #closed = new AbortController();
  readonly #facts: Fact[] = [];
  #state: State = initial;
  #telling = false;
  #term: HeldTerm | null = null;
  #campaign: { resolve: (term: Term) => void; reject: (reason: unknown) => void } | null = null;
  /** Settles with the function that `run()` runs; null when none runs. */
  #work: Promise<unknown> | null = null;
  #drain: Timer | null = null;
  /** The token of a term that ended by the clock: the store may still hold its record. */
  #expired: bigint | null = null;
  leftUntil = 0;
  /** Resolved at each change of state. */
  #change = Promise.withResolvers<void>();
  #closing: Promise<CloseReport> | null = null;

  constructor(inside: Inside, options: ResolvedOptions) {
    const { adapter, clock } = inside;
    this.name = options.name;
    this.election = options.name;
    this.id = options.id ?? clock.nonce().slice(0, 16);
    this.candidate = { id: this.id, metadata: options.metadata };
    this.address = adapter.address;
    this.clock = clock;
    this.#inside = inside;
    this.#options = options;
    this.#session = inside.session(options.ttl);
    this.#view = { adapter, clock, election: options.name };
    this.#listeners = new Listeners(options.name);
    inside.elections.add(this);
  }

  get state(): PublicState {
    this.#term?.isValid();
    return publicState(this.#state);
  }

  on<Name extends keyof ElectionEvents>(
    name: Name,
    listener: (event: ElectionEvents[Name]) => unknown,
  ): () => void {
    return this.#listeners.on(name, listener);
  }

  async campaign({ signal }: Cancellation = {}): Promise<Term> {
    signal?.throwIfAborted();
    if (this.#work !== null) throw this.#busy();
    return this.#campaignOnce(signal);
  }

  async run<Result>(
    work: (term: Term) => Promise<Result> | Result,
    { signal }: Cancellation = {},
  ): Promise<Result> {
    signal?.throwIfAborted();
    if (this.#work !== null) throw this.#busy();
    for (;;) {
      const term = await this.#campaignOnce(signal);
      // Known to be running before its first statement runs.
      const running = Promise.resolve().then(() => {
        term.signal.throwIfAborted();
        return work(term);
      });
      this.#work = running;
      const unlisten = onAbort(signal, () => this.tell({ kind: "end", reason: "aborted" }));
      const [outcome] = await Promise.allSettled([running]);
      unlisten();
      const whileLeading = term.isValid();
      // Judged now: a term that is given back is over, and its signal aborted.
      const ownError = outcome.status === "rejected" && !isLossOf(term, outcome.reason);
      this.#work = null;
      this.#drain?.cancel();
      if (this.#term === term) this.tell({ kind: "work-done" });
      await this.#givenBack();
      if (ownError) throw outcome.reason;
      signal?.throwIfAborted();
      this.#closed.signal.throwIfAborted();
      if (outcome.status === "fulfilled" && whileLeading) return outcome.value;
    }
  }

  async leader({ signal }: Cancellation = {}): Promise<Leader | null> {
    this.#closed.signal.throwIfAborted();
    return readLeader(this.#view, signal);
  }

  async candidates({ signal }: Cancellation = {}): Promise<Candidate[]> {
    this.#closed.signal.throwIfAborted();
    return readCandidates(this.#view, signal);
  }

  observe({ signal }: Cancellation = {}): AsyncGenerator<Leader | null, void, undefined> {
    return observeLeader(this.#view, signal, this.#closed.signal);
  }

  close(): Promise<CloseReport> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
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
    this.#listeners.emit("trouble", { error });
  }

  noticeExpiry(): void {
    this.tell({ kind: "look" });
  }

  async resign(term: HeldTerm): Promise<void> {
    if (this.#term !== term) return this.#work === null ? this.#givenBack() : undefined;
    if (this.#work !== null) return this.tell({ kind: "end", reason: "resigned" });
    this.tell({ kind: "work-done" });
    await this.#givenBack();
  }

  async #campaignOnce(signal: AbortSignal | undefined): Promise<HeldTerm> {
    this.#closed.signal.throwIfAborted();
    await raceAbort(this.#givenBack(), signal);
    this.#closed.signal.throwIfAborted();
    if (this.#state.phase !== "idle") throw this.#busy();
    const { promise, resolve, reject } = Promise.withResolvers<Term>();
    this.#campaign = { resolve, reject };
    this.#session.join(this);
    this.tell({ kind: "campaign", nonce: this.clock.nonce() });
    const unlisten = onAbort(signal, (reason) => this.tell({ kind: "abandon", reason }));
    try {
      return (await promise) as HeldTerm;
    } finally {
      unlisten();
    }
  }

  /** Settles when nothing of an earlier term or campaign is left to be given back. */
  async #givenBack(): Promise<void> {
    while (this.#isGivingBack()) await this.#change.promise;
  }

  #take(fact: Fact): void {
    const before = this.#state;
    const { state, effects } = transition(before, fact, this.clock.now());
    this.#state = state;
    // Validity ends before anybody hears of it.
    for (const effect of effects) if (effect.kind === "lost") this.#term?.end(effect.reason);
    const [from, to] = [publicState(before), publicState(state)];
    if (from !== to) this.#listeners.emit("state", { from, to });
    for (const effect of effects) this.#effect(effect);
    if (state.phase === before.phase) return;
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  #effect(effect: Effect): void {
    switch (effect.kind) {
      case "claim":
        return this.#session.claim(effect.nonce, this);
      case "release":
        return this.#session.claims.release(effect.nonce);
      case "elected": {
        const term = new HeldTerm(this, this.name, this.#options.generation, effect.token, effect.lease);
        this.#term = term;
        this.#expired = null;
        this.#publish(term, "elected");
        this.#listeners.emit("elected", { term });
        this.#campaign?.resolve(term);
        this.#campaign = null;
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
        this.#listeners.emit("lost", { term, reason: effect.reason });
        return;
      }
      case "reject":
        this.#campaign?.reject(effect.reason);
        this.#campaign = null;
        return;
      case "closed":
      // The state says it all; `#close` is waiting for it.
    }
  }

  /** Work that was told to stop and does not is reported once; nothing is taken from under it. */
  #limitDrain(): void {
    const term = this.#term;
    if (term === null) return;
    this.#drain?.cancel();
    this.#drain = this.clock.timer(this.#options.drainTimeout, () => {
      this.#publish(term, "overdue");
      this.#listeners.emit("overdue", { term });
    });
    this.#drain.unref();
  }

  async #close(): Promise<CloseReport> {
    const reason = new ClosedError(`${this.#who()} is closed: create another.`);
    this.#closed.abort(reason);
    this.tell({ kind: "close", reason });
    await this.#within(this.#options.drainTimeout, this.#stopped());
    if (this.#state.phase === "draining") {
      // The term stays held, and proven, until its work ends; but the process need not stay for it.
      this.#session.background(this);
      void this.#stopped().then(() => this.#leave());
      return this.#report(this.#state.token, "work-running", Infinity);
    }
    return this.#leave();
  }

  /** Gives back what is left, and does without the session from now on. */
  async #leave(): Promise<CloseReport> {
    const token = this.#state.phase === "releasing" ? this.#state.token : this.#expired;
    await this.#within(giveBackLimit, this.#givenBack());
    this.#inside.elections.delete(this);
    await this.#session.leave(this);
    // Others may need the session, and it goes on giving back.
    const forMs = this.#isGivingBack() ? this.#session.ttlMs : this.leftUntil - this.clock.now();
    return this.#report(token, "store-unreachable", forMs);
  }

  /** Settles when no work runs that was told to stop. */
  async #stopped(): Promise<void> {
    while (this.#state.phase === "draining") await this.#change.promise;
    await this.#work?.catch(() => {});
  }

  async #within(ms: number, event: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.clock.timer(ms, resolve);
    await Promise.race([event, promise]);
    timer.cancel();
  }

  #report(token: bigint | null, because: Remainder["because"], forMs: number): CloseReport {
    const remainder = { election: this.name, candidate: this.id, token, because, forMs };
    return { remains: forMs > 0 ? [remainder] : [] };
  }

  #publish(term: Term, event: TermMessage["event"], reason?: string): void {
    publish("term", () => ({
      store: this.address,
      election: this.name,
      candidate: this.id,
      token: term.token,
      event,
      reason,
    }));
  }

  #isGivingBack(): boolean {
    return this.#state.phase === "withdrawing" || this.#state.phase === "releasing";
  }

  #busy(): BusyError {
    return new BusyError(
      `${this.#who()} is ${this.state} already. One Election is one candidate: resign first, or create another.`,
    );
  }

  #who(): string {
    return `Election "${this.name}" on ${this.address}: candidate ${this.id}`;
  }
}

/** Whether work failed only because its term was over: then it is not an error of its own. */
function isLossOf(term: Term, error: unknown): boolean {
  if (!term.signal.aborted) return false;
  for (let depth = 0, link = error; depth < 8 && link instanceof Error; depth++, link = link.cause) {
    if (link instanceof NotLeaderError || link === term.signal.reason || link.name === "AbortError")
      return true;
  }
  return false;
}
