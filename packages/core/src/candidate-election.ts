/** An election as its user holds it: a candidacy, and what others may see of the election. */

import { firstAbort, onAbort } from "./abort.ts";
import type { Inside } from "./backend.ts";
import { Candidacy } from "./candidacy.ts";
import type { Cancellation, CloseReport, Election, Remainder } from "./election.ts";
import type { PublicState } from "./election-state.ts";
import { ClosedError, NotLeaderError } from "./errors.ts";
import type { ElectionEvents } from "./events.ts";
import { observeLeader, readCandidates, readLeader, type Candidate, type Leader } from "./observation.ts";
import type { ResolvedOptions } from "./options.ts";
import { within } from "./within.ts";
import type { Term } from "./term.ts";

/** How long `close()` waits for the store to take a record back, in ms. */
const giveBackLimit = 2_000;

export class CandidateElection implements Election {
  readonly name: string;
  readonly id: string;
  readonly #inside: Inside;
  readonly #candidacy: Candidacy;
  #closing: Promise<CloseReport> | null = null;

  constructor(inside: Inside, options: ResolvedOptions) {
    this.#inside = inside;
    this.#candidacy = new Candidacy(inside.session(options.ttl), options);
    this.name = options.name;
    this.id = this.#candidacy.candidate.id;
    inside.elections.add(this);
  }

  get state(): PublicState {
    return this.#candidacy.state;
  }

  on<Name extends keyof ElectionEvents>(
    name: Name,
    listener: (event: ElectionEvents[Name]) => unknown,
  ): () => void {
    return this.#candidacy.listeners.on(name, listener);
  }

  async campaign({ signal }: Cancellation = {}): Promise<Term> {
    return this.#candidacy.campaign(signal);
  }

  async run<Result>(
    work: (term: Term) => Promise<Result> | Result,
    { signal }: Cancellation = {},
  ): Promise<Result> {
    const candidacy = this.#candidacy;
    for (;;) {
      const term = await candidacy.campaign(signal);
      // Known to be running before its first statement runs.
      const running = Promise.resolve().then(() => {
        term.signal.throwIfAborted();
        return work(term);
      });
      candidacy.working(running);
      const unlisten = onAbort(signal, () => candidacy.tell({ kind: "end", reason: "aborted" }));
      const [outcome] = await Promise.allSettled([running]);
      unlisten();
      const whileLeading = term.isValid();
      // Judged now: a term that is given back is over, and its signal aborted.
      const ownError = outcome.status === "rejected" && !isLossOf(term, outcome.reason);
      candidacy.worked(term);
      await candidacy.givenBack();
      if (ownError) throw outcome.reason;
      signal?.throwIfAborted();
      candidacy.closed.signal.throwIfAborted();
      if (outcome.status === "fulfilled" && whileLeading) return outcome.value;
    }
  }

  async leader({ signal }: Cancellation = {}): Promise<Leader | null> {
    return this.#ask(signal, (stop) => readLeader(this.#inside, this.name, stop));
  }

  async candidates({ signal }: Cancellation = {}): Promise<Candidate[]> {
    return this.#ask(signal, (stop) => readCandidates(this.#inside, this.name, stop));
  }

  observe({ signal }: Cancellation = {}): AsyncGenerator<Leader | null, void, undefined> {
    return observeLeader(this.#inside, this.name, signal, this.#candidacy.closed.signal);
  }

  close(): Promise<CloseReport> {
    return (this.#closing ??= this.#close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Nobody waits for an answer that comes after `close()`. */
  #ask<T>(signal: AbortSignal | undefined, question: (stop: AbortSignal) => Promise<T>): Promise<T> {
    const [stop, letGo] = firstAbort(signal, this.#candidacy.closed.signal);
    return question(stop).finally(letGo);
  }

  async #close(): Promise<CloseReport> {
    const candidacy = this.#candidacy;
    const reason = new ClosedError(`${candidacy.who()} is closed: create another.`);
    candidacy.closed.abort(reason);
    candidacy.tell({ kind: "close", reason });
    await within(candidacy.clock, candidacy.options.drainTimeout, candidacy.stopped());
    if (candidacy.phase !== "draining") return this.#leave();
    // The term stays held, and proven, until its work ends; but the process need not stay for it.
    candidacy.session.background(candidacy);
    void candidacy.stopped().then(() => this.#leave());
    return this.#report(candidacy.heldToken, "work-running", Infinity);
  }

  /** Gives back what is left, and does without the session from now on. */
  async #leave(): Promise<CloseReport> {
    const candidacy = this.#candidacy;
    const { session, clock, heldToken } = candidacy;
    await within(clock, giveBackLimit, candidacy.givenBack());
    this.#inside.elections.delete(this);
    await session.leave(candidacy);
    // Others may need the session, and it goes on giving back.
    const forMs = candidacy.givingBack ? session.ttlMs : candidacy.leftUntil - clock.now();
    return this.#report(heldToken, "store-unreachable", forMs);
  }

  #report(token: bigint | null, because: Remainder["because"], forMs: number): CloseReport {
    const remainder = { election: this.name, candidate: this.id, token, because, forMs };
    return { remains: forMs > 0 ? [remainder] : [] };
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
