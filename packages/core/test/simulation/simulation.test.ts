/**
 * The whole core, in hundreds of simulated histories: real elections on simulated processes, clocks, links and
 * stores, in which everything goes wrong that can. `ELECT_SIMULATION_SEEDS` runs more of them, and
 * `ELECT_SIMULATION_FIRST=<seed> ELECT_SIMULATION_SEEDS=1` runs one again.
 */

import { afterAll, expect, it } from "vitest";

import { nemeses } from "./nemeses.ts";
import { World } from "./world.ts";

const first = Number(process.env["ELECT_SIMULATION_FIRST"] ?? 1);
const seeds = Number(process.env["ELECT_SIMULATION_SEEDS"] ?? 400);
/** How many histories one test runs, so that a long run shows that it goes on. */
const chapter = 100;

/** `nemesis × phase` and what else was reached, counted over all histories. */
const faults = new Map<string, number>();
const seen = new Map<string, number>();

async function history(seed: number): Promise<void> {
  const world = new World(seed, faults);
  const violation = await world.run();
  for (const [what, count] of world.checker.seen) seen.set(what, (seen.get(what) ?? 0) + count);
  if (violation === null) return;
  const kind = JSON.stringify(world.store.kind);
  throw new Error(
    `seed ${seed}: ${violation}\nttl ${world.ttl}, store ${kind}\n${world.trace.slice(-80).join("\n")}\n` +
      `Again: ELECT_SIMULATION_FIRST=${seed} ELECT_SIMULATION_SEEDS=1`,
  );
}

for (let from = first; from < first + seeds; from += chapter) {
  const to = Math.min(from + chapter, first + seeds);
  it(`no promise is broken in the histories ${from} to ${to - 1}`, { timeout: 300_000 }, async () => {
    for (let seed = from; seed < to; seed++) await history(seed);
  });
}

it("the same seed is the same history", async () => {
  const [one, other] = [new World(first, new Map()), new World(first, new Map())];
  await one.run();
  await other.run();
  expect(one.trace.length).toBeGreaterThan(50);
  expect(other.trace).toEqual(one.trace);
  expect(other.checker.seen).toEqual(one.checker.seen);
});

it.runIf(seeds >= 400)("every fault struck in every phase, and everything happened, many times", () => {
  const few = (counts: ReadonlyMap<string, number>, least: number, what: string): string[] =>
    (counts.get(what) ?? 0) < least ? [`${what}: ${counts.get(what) ?? 0}`] : [];
  const phases = { campaigning: 100, leading: 100, uncertain: 20, draining: 20, idle: 20 };
  const missing = Object.entries(nemeses).flatMap(([nemesis, { applies }]) =>
    // What makes sense in some worlds only is rarer.
    Object.entries(phases).flatMap(([phase, least]) =>
      few(faults, applies === undefined ? least : Math.ceil(least / 10), `${nemesis} × ${phase}`),
    ),
  );
  const happened = {
    elected: 5_000,
    observed: 5_000,
    overdue: 100,
    closed: 500,
    "closed with remains": 50,
    "lost aborted": 100,
    "lost closed": 100,
    "lost expired": 500,
    "lost record-lost": 100,
    "lost resigned": 500,
    "lost session-ended": 200,
    "uncertain > leading": 200,
    "uncertain > draining": 50,
  };
  missing.push(...Object.entries(happened).flatMap(([what, least]) => few(seen, least, what)));
  expect(missing).toEqual([]);
});

afterAll(() => {
  const strikes = [...faults.values()].reduce((sum, count) => sum + count, 0);
  const terms = seen.get("elected") ?? 0;
  process.stdout.write(`${seeds} histories, ${strikes} faults, ${terms} terms\n`);
});
