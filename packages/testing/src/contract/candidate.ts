import type { Backend, Election, LossReason, Term } from "@elect/core";
import { within } from "../wait.ts";
import type { Watchman } from "./watchman.ts";

/** One candidate of a test, with a record of what happened to it. */
export class Candidate {
  readonly election: Election;
  readonly backend: Backend;
  readonly terms: Term[] = [];
  readonly losses: LossReason[] = [];
  readonly troubles: unknown[] = [];
  /** What happened, with the milliseconds since the beginning: printed when the test fails. */
  readonly story: string[] = [];
  readonly #since: number = performance.now();
  #leaving = false;
  readonly #watchman: Watchman;

  constructor(election: Election, backend: Backend, watchman: Watchman) {
    this.election = election;
    this.backend = backend;
    this.#watchman = watchman;
    election.on("elected", ({ term }) => {
      if (this.terms.length !== this.losses.length) this.#find("was elected twice without a loss in between");
      this.terms.push(term);
      this.#note(`elected with token ${term.token}`);
      watchman.elected(term, election.id);
      // What a holder of a term does when it is told to stop: stop, and say so. (Inside of `run()` it changes nothing.)
      term.signal.addEventListener("abort", () => void term.resign(), { once: true });
    });
    election.on("lost", ({ term, reason }) => {
      this.#note(`lost token ${term.token}: ${reason}`);
      this.losses.push(reason);
      if (this.terms.length !== this.losses.length) this.#find("lost a term twice, or one it never had");
      if (term !== this.terms.at(-1)) this.#find("lost a term that is not its last one");
      if (term.isValid()) this.#find("heard of a loss while its term was valid");
      if (!term.signal.aborted) this.#find("heard of a loss before its signal was aborted");
    });
    election.on("state", ({ to }) => this.#note(to));
    election.on("trouble", ({ error }) => {
      this.#note(`trouble: ${String(error)}`);
      this.troubles.push(error);
    });
  }

  get id(): string {
    return this.election.id;
  }

  /** Campaigns; the promise may be awaited later, or never. */
  campaign(signal?: AbortSignal): Promise<Term> {
    const term = this.election.campaign({ signal });
    term.catch((error: unknown) => {
      if (!this.#leaving && signal?.aborted !== true) this.troubles.push(error);
    });
    return term;
  }

  /** Campaigns and is to be elected within `ms`. */
  async lead(ms: number): Promise<Term> {
    return within(ms, `${this.id} is elected`, this.campaign());
  }

  /** The test is over. */
  leave(): void {
    this.#leaving = true;
  }

  #note(what: string): void {
    this.story.push(`  ${this.id} +${Math.round(performance.now() - this.#since)} ms: ${what}`);
  }

  #find(what: string): void {
    this.#watchman.findings.push(`${this.id} ${what}`);
  }
}

/** Resolves when the term's signal aborts. */
export async function told(term: Term): Promise<void> {
  const { signal } = term;
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
