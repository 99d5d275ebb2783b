/** One process with one candidate in each election, and a user who does everything that users do. */

import { createBackend, type Backend } from "../../src/backend.ts";
import { createElection, type Election } from "../../src/election.ts";
import type { Term } from "../../src/term.ts";
import { SimulatedAdapter } from "./adapter.ts";
import type { Chance } from "./chance.ts";
import type { Checker } from "./checker.ts";
import { HostClock } from "./host-clock.ts";
import { Link } from "./link.ts";
import type { Store } from "./store.ts";
import type { Host, Timeline } from "./timeline.ts";

export interface Surroundings {
  readonly timeline: Timeline;
  readonly store: Store;
  readonly checker: Checker;
  readonly storeIsUp: () => boolean;
  readonly elections: readonly string[];
  readonly ttl: number;
  readonly note: (line: string) => void;
}

/** What the user throws when work fails for reasons of its own. */
class OwnError extends Error {}

export class Member implements Host {
  stoppedUntil = 0;
  dead = false;
  readonly name: string;
  readonly link: Link;
  readonly adapter: SimulatedAdapter;
  readonly clock: HostClock;
  readonly backend: Backend;
  readonly candidates: readonly Election[];
  readonly #around: Surroundings;
  readonly #chance: Chance;
  readonly #stops = new Set<AbortController>();
  /** What the user of an election wants: nothing of it may come true afterwards. */
  readonly #wants = new Map<string, "term" | "nothing">();
  closing = false;
  /** In the end users are patient and well-behaved, so that there is a leader to be seen. */
  calm = false;

  constructor(name: string, around: Surroundings, chance: Chance) {
    this.name = name;
    this.#around = around;
    this.#chance = chance;
    this.clock = new HostClock(around.timeline, this, chance.fork());
    this.link = new Link(around.timeline, this, chance.fork(), around.storeIsUp);
    this.adapter = new SimulatedAdapter(`simulated://${around.store.id}/${name}`, around.store, this.link);
    this.backend = createBackend(this.adapter, { clock: this.clock });
    this.candidates = around.elections.map((election) => this.#candidate(election));
    this.#observe();
  }

  /** The user's own reasons to stop: a signal that aborts. */
  abort(): void {
    for (const stop of [...this.#stops]) {
      this.#stops.delete(stop);
      stop.abort(new OwnError("the user's signal"));
    }
  }

  async close(): Promise<readonly string[]> {
    this.closing = true;
    const reports = await Promise.all(this.candidates.map((candidate) => candidate.close()));
    await this.backend.close();
    return reports.flatMap((report) => report.remains.map((remainder) => remainder.election));
  }

  #candidate(name: string): Election {
    const { checker, ttl, note } = this.#around;
    const election = createElection({
      backend: this.backend,
      name,
      id: this.name,
      ttl,
      drainTimeout: 2 * ttl,
    });
    let leads: Term | null = null;
    election.on("elected", ({ term }) => {
      note(`${this.name} ${name} elected ${term.token}`);
      if (leads !== null) checker.fail(`C6: ${this.name} was elected twice in ${name}`);
      if (this.closing || this.#wants.get(name) !== "term")
        checker.fail(`P7: ${this.name} was elected in ${name} although it does not want to be any more`);
      leads = term;
      checker.elected(this.name, term, this, this.clock);
    });
    election.on("lost", ({ term, reason }) => {
      note(`${this.name} ${name} lost ${term.token} ${reason}`);
      leads = null;
      checker.lost(this.name, term, reason);
    });
    election.on("state", ({ from, to }) => checker.count(`${from} > ${to}`));
    election.on("overdue", () => checker.count("overdue"));
    void this.#use(election);
    return election;
  }

  /** Campaigns again and again, in all ways there are. */
  async #use(election: Election): Promise<void> {
    const { name } = election;
    const { checker } = this.#around;
    await this.#wait(this.#chance.between(0, 500));
    while (!this.closing) {
      const stop = new AbortController();
      this.#stops.add(stop);
      stop.signal.addEventListener(
        "abort",
        () => void (election.state === "campaigning" && this.#wants.set(name, "nothing")),
      );
      this.#wants.set(name, "term");
      try {
        if (this.calm || this.#chance.hits(0.6)) await this.#run(election, stop.signal);
        else await this.#campaign(election, stop.signal);
      } catch (error) {
        const expected = error instanceof OwnError || (error as { code?: string }).code === "ELECT_CLOSED";
        if (!expected) checker.fail(`${this.name} failed in ${name} with ${String(error)}`);
      }
      this.#wants.set(name, "nothing");
      this.#stops.delete(stop);
      await this.#wait(this.calm ? 10 : this.#chance.between(0, this.#around.ttl / 2));
    }
  }

  async #run(election: Election, signal: AbortSignal): Promise<void> {
    const throwing = this.#chance.hits(0.1);
    await election.run((term) => this.#work(election.name, term, { throwing, resigning: true }), { signal });
  }

  async #campaign(election: Election, signal: AbortSignal): Promise<void> {
    const term = await election.campaign({ signal });
    await this.#work(election.name, term, { throwing: false, resigning: false });
    await term.resign();
  }

  /** Works until it is told to stop or has had enough; does not always stop when told, nor end well. */
  async #work(
    election: string,
    term: Term,
    { throwing, resigning }: { throwing: boolean; resigning: boolean },
  ): Promise<void> {
    const { checker, ttl } = this.#around;
    checker.workBegan(this.name, election, term.token);
    try {
      const enough = this.calm ? 1e9 : this.#chance.between(0, 6 * ttl);
      await this.#wait(enough, term.signal);
      if (this.calm || this.#chance.hits(0.4)) return;
      if (resigning && this.#chance.hits(0.5)) void term.resign();
      await this.#wait(this.#chance.between(0, 3 * ttl));
      if (throwing) throw new OwnError("the work failed");
    } finally {
      checker.workEnded(this.name, election);
    }
  }

  /** C8: what an observer sees of one election never goes back. */
  #observe(): void {
    const { checker } = this.#around;
    const [first] = this.candidates;
    if (first === undefined) return;
    void (async () => {
      let highest = 0n;
      // Ends when the election is closed.
      for await (const leader of first.observe()) {
        if (leader === null) continue;
        if (leader.token < highest) checker.fail(`C8: ${this.name} saw ${leader.token} after ${highest}`);
        highest = leader.token;
        checker.count("observed");
      }
    })();
  }

  async #wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const waiting = this.#around.timeline.in(ms, this, resolve);
      signal?.addEventListener("abort", () => {
        waiting.cancel();
        resolve();
      });
    });
  }
}
