// What the candidates of one store are put through, and what has to be true of it: nothing unhandled, nothing that
// hangs, every election led again within the bound, no two terms valid at once, tokens that rise, nothing that grows.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { hostNow } from "./figures.ts";
import type { Footprint } from "./footprint.ts";
import { Crew } from "./outage-crew.ts";
import { judgeHistories } from "./outage-histories.ts";
import { boundOf } from "./outage-bound.ts";
import type { Outcome, Overcome, Plan } from "./outage-plan.ts";
import type { Account } from "./outage-reports.ts";
import type { Outage, Site } from "./outage-sites.ts";
import { Seeded } from "../../../packages/testing/src/seeded.ts";

const ttl = 2_000;
const elections = ["one", "two", "three"];
/** For how many TTLs a server is away: not at all, for less than costs a term, and for more. */
const absences = [0, 0, 0, 0.4, 1.3];
/** And for how many it only says nothing. */
const silences = [0.4, 0.8, 1.3, 2.5];
/** Just long enough to cost every term. */
const lasting = 1.3;
/** How often a link changes between good and broken, and for how long it goes on doing so. */
const flapping = { everyMs: 200, forMs: 10_000 };
/** An election that is not led when it ought to be is given so much longer, to tell "late" from "never". */
const lastChanceMs = 60_000;

export async function ordeal(site: Site, plan: Plan): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), "elect-outages-"));
  try {
    const trial = new Ordeal(site, plan, directory, await boundOf(site, ttl));
    try {
      await trial.outages();
      if (plan.links) await trial.brokenLinks();
    } catch (error) {
      trial.gaveUp(error);
    }
    return trial.outcome();
  } finally {
    rmSync(directory, { recursive: true });
  }
}

class Ordeal {
  readonly #site: Site;
  readonly #plan: Plan;
  readonly #directory: string;
  readonly #boundMs: number;
  readonly #dice: Seeded;
  readonly #faults: string[] = [];
  readonly #overcome: Overcome[] = [];
  readonly #footprints: Footprint[][] = [];
  #account: Account = { terms: 0, troubles: 0, answered: 0, unreachable: 0, observed: 0 };
  #restarts = 0;

  constructor(site: Site, plan: Plan, directory: string, boundMs: number) {
    this.#site = site;
    this.#plan = plan;
    this.#directory = directory;
    this.#boundMs = boundMs;
    this.#dice = new Seeded(plan.seed);
  }

  /** Candidates that start while the store is down, and go through one outage after the other. */
  async outages(): Promise<void> {
    const { outages, url } = this.#site;
    const total = outages.find(({ partial, restarts }) => restarts && !partial) ?? outages[0]!;
    await total.strike();
    await using crew = await this.#crew("direct", url);
    await sleep(ttl / 2);
    await total.mend();
    await this.#ledAgain(crew, "down when they started");
    for (const [outage, ttls] of this.#schedule()) {
      await this.#outage(crew, outage, ttls * ttl);
      this.#footprints.push(await crew.weigh());
    }
    await this.#seenAgain(crew);
    await this.#dismiss(crew);
  }

  /** Good servers behind a bad link: one that flaps, one that takes connections and says nothing. */
  async brokenLinks(): Promise<void> {
    const link = await this.#site.link();
    if (link === null) return;
    const { url, proxy } = link;
    proxy.silence();
    await using crew = await this.#crew("linked", url);
    await sleep(1.5 * ttl);
    proxy.heal();
    await this.#ledAgain(crew, "silent when they started");

    for (const until = hostNow() + flapping.forMs; hostNow() < until;) {
      proxy.refuse();
      await sleep(flapping.everyMs);
      proxy.heal();
      await sleep(flapping.everyMs);
    }
    await this.#ledAgain(crew, "flapping");

    proxy.silence();
    proxy.reset();
    await sleep(3 * ttl);
    proxy.heal();
    await this.#ledAgain(crew, "accepting, and never answering");
    await this.#seenAgain(crew);

    proxy.silence();
    await sleep(ttl / 4);
    await this.#dismiss(crew);
  }

  /** What went wrong so far is told all the same. */
  gaveUp(error: unknown): void {
    this.#faults.push(`gave up: ${inspect(error)}`);
  }

  outcome(): Outcome {
    const { claims, faults } = judgeHistories(this.#directory, elections);
    this.#faults.push(...faults);
    return {
      site: this.#site.name,
      seed: this.#plan.seed,
      faults: this.#faults.map((fault) => `${this.#site.name} (seed ${this.#plan.seed}): ${fault}`),
      overcome: this.#overcome,
      restarts: this.#restarts,
      boundMs: this.#boundMs,
      account: this.#account,
      claims,
      footprints: this.#footprints,
    };
  }

  /** What happens, and for how many TTLs. */
  *#schedule(): Generator<readonly [Outage, number]> {
    const { outages, finale } = this.#site;
    const { restarts } = this.#plan;
    if (restarts === "each") {
      for (const outage of new Set(outages)) yield [outage, lasting];
    } else {
      while (this.#restarts < restarts) {
        const outage = this.#dice.pick(outages)!;
        yield [outage, this.#dice.pick(outage.restarts ? absences : silences)!];
      }
    }
    if (finale !== null) yield [finale, 0];
  }

  async #crew(name: string, url: string): Promise<Crew> {
    const { processes: size, leakKb = 0, careless = false } = this.#plan;
    return Crew.muster({
      size,
      ...{ name, url, elections, ttl, directory: this.#directory },
      ...{ leakKb, careless },
    });
  }

  async #outage(crew: Crew, { name, partial, restarts, strike, mend }: Outage, ms: number): Promise<void> {
    await strike();
    if (partial) await this.#ledAgain(crew, `${name}, and not back`);
    await sleep(ms);
    await mend();
    if (restarts) this.#restarts += 1;
    await this.#ledAgain(crew, name);
  }

  async #ledAgain(crew: Crew, name: string, since: number = hostNow()): Promise<void> {
    const led = await crew.lead(since, this.#boundMs);
    if (typeof led === "number") {
      this.#overcome.push({ name, ms: led });
      return;
    }
    const late = await crew.lead(since, this.#boundMs + lastChanceMs);
    const end = typeof late === "number" ? `after ${late.toFixed(0)} ms` : "never";
    this.#faults.push(
      `${name} (outage ${this.#overcome.length + 1}): ${led.join(", ")} not led within ${this.#boundMs} ms, but ${end}`,
    );
    if (typeof late !== "number") throw new Error(["nobody leads any more", ...crew.problems].join("\n"));
  }

  /** Whoever looks on has lost sight of the store as often as it was away. */
  async #seenAgain(crew: Crew): Promise<void> {
    const seen = await crew.see(hostNow(), this.#boundMs);
    if (typeof seen !== "number")
      this.#faults.push(`${seen.join(", ")}: no leader shown within ${this.#boundMs} ms after it all`);
  }

  async #dismiss(crew: Crew): Promise<void> {
    const account = await crew.close();
    for (const key of Object.keys(account) as (keyof Account)[]) {
      this.#account = { ...this.#account, [key]: this.#account[key] + account[key] };
    }
    this.#faults.push(...crew.problems);
  }
}
