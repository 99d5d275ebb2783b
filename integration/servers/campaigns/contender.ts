// Somebody who wants to lead, in whichever way. All contenders of a campaign live in one process, so that they share
// one monotonic clock: `performance.now()`.
import { connect, createElection, type Backend, type Term } from "@elect/core";

export interface Contender extends AsyncDisposable {
  /** Settles when it holds itself for the leader, with the instant at which it began to. */
  readonly elected: Promise<number>;
  /**
   * The instant until which it holds itself for the leader, as far as it knows by now: past, when it has given up;
   * `Infinity`, while only an event could tell it otherwise.
   */
  leadsUntil(): number;
  /** What it would answer now to "do you lead?". */
  leads(): boolean;
}

export interface Way {
  readonly name: string;
  contend(url: string, election: string, ttl: number): Promise<Contender>;
}

/** This project's own. */
export const elect: Way = {
  name: "Elect",
  async contend(url, election, ttl) {
    return new ElectContender(await connect(url), election, ttl);
  },
};

class ElectContender implements Contender {
  readonly elected: Promise<number>;
  readonly #backend: Backend;
  readonly #leaving = new AbortController();
  #term: Term | null = null;
  #until = 0;

  constructor(backend: Backend, name: string, ttl: number) {
    this.#backend = backend;
    const election = createElection({ backend, name, ttl });
    this.elected = new Promise((resolve) => {
      election.on("elected", ({ term }) => {
        this.#term = term;
        resolve(performance.now());
      });
    });
    // Told of the end before the deadline, it has ended now.
    election.on("lost", () => (this.#until = Math.min(this.#until, performance.now())));
    election.campaign({ signal: this.#leaving.signal }).catch(() => {});
  }

  leadsUntil(): number {
    // While nothing is acknowledged the deadline stands still, and this is exact.
    const left = this.#term?.remaining() ?? 0;
    if (left > 0) this.#until = performance.now() + left;
    return this.#until;
  }

  leads(): boolean {
    return this.#term?.isValid() ?? false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leaving.abort();
    await this.#term?.resign();
    await this.#backend.close();
  }
}
