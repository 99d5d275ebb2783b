// Candidates of one election that pass it on, each on a backend (so: with a session) of its own.
import { connect, createElection, type Backend, type Election, type Term } from "@elect/core";
import { until, within } from "./patience.ts";

/** Long, so that few proofs are among what is measured. */
const ttl = 30_000;

interface Reign {
  readonly election: Election;
  readonly term: Term;
  readonly since: number;
}

/** Who leads resigns when told to, and goes to the end of the queue. */
export class Circle implements AsyncDisposable {
  readonly #backends: Backend[] = [];
  readonly #over = new AbortController();
  #reign: PromiseWithResolvers<Reign> = Promise.withResolvers<Reign>();

  /** Settles when so many are known to wait, or to lead. */
  static async of(candidates: number, url: string): Promise<Circle> {
    await using parts = new AsyncDisposableStack();
    const circle = parts.use(new Circle());
    for (let joined = 0; joined < candidates; joined += 1) await circle.#join(url);
    const { election } = await circle.#led();
    await until("all candidates wait", async () =>
      (await election.candidates()).length === candidates ? true : undefined,
    );
    parts.move();
    return circle;
  }

  /** How long it took from the resignation to the successor's election, in ms. */
  async handOver(): Promise<number> {
    const { election, term } = await this.#led();
    this.#reign = Promise.withResolvers();
    const from = performance.now();
    const resigned = term.resign();
    const { since } = await this.#led();
    await resigned;
    this.#campaign(election);
    return since - from;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nobody is to follow: a term that is not resigned would outlive its election, as long as this process lives.
    this.#over.abort();
    const reign = await Promise.race([this.#reign.promise, Promise.resolve(null)]);
    await reign?.term.resign();
    await Promise.all(this.#backends.map(async (backend) => backend.close()));
  }

  async #join(url: string): Promise<void> {
    const backend = await connect(url);
    this.#backends.push(backend);
    const election = createElection({ backend, name: "passed-on", ttl });
    election.on("elected", ({ term }) => this.#reign.resolve({ election, term, since: performance.now() }));
    this.#campaign(election);
  }

  async #led(): Promise<Reign> {
    return within("somebody leads", this.#reign.promise);
  }

  #campaign(election: Election): void {
    void election.campaign({ signal: this.#over.signal }).catch(() => {});
  }
}
