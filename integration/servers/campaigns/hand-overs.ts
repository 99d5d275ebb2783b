// A hundred hand-overs of one election, among 2 to 100 candidates, each on a backend (so: with a session) of its own.
// What one costs the server, by its own counters, and how long it takes, in round trips of the same driver.
//
//     pnpm --dir integration/servers campaign:hand-overs [store]
import { setTimeout as sleep } from "node:timers/promises";
import { makeEngineReady } from "../src/index.ts";
import { Circle } from "./circle.ts";
import { Meter } from "./counters.ts";
import { quantile } from "./figures.ts";
import { withRoundTrip } from "./round-trip.ts";
import { startOwnStore, storeNames, type Store } from "./stores.ts";

const crowds = [2, 10, 30, 100];
const handOvers = 100;
/** For measuring what the sessions ask for anyhow, which is subtracted. */
const restMs = 10_000;
/** So many requests more per hand-over among 100 than between 2 still count as the same: polls in between. */
const flatness = 2;
/** Who has resigned is to wait again before the next one resigns: with two candidates, there is nobody else. */
const backInQueueMs = 30;

interface Figures {
  readonly candidates: number;
  readonly requests: number;
  readonly p50: number;
  /** The p50 of one write. */
  readonly raw: number;
}

async function figures(store: Store, meter: Meter, candidates: number): Promise<Figures> {
  await using circle = await Circle.of(candidates, store.url);
  const rest = await meter.measure(async () => sleep(restMs));
  let tookMs = 0;
  const total = await meter.measure(async () => {
    const from = performance.now();
    for (let round = 0; round < handOvers; round += 1) {
      await circle.handOver();
      await sleep(backInQueueMs);
    }
    tookMs = performance.now() - from;
  });
  const requests = (total.requests - (rest.requests * tookMs) / restMs) / handOvers;

  // Timed by turns: whatever else the machine does, it does to both.
  const [times, raw]: [number[], number[]] = [[], []];
  await withRoundTrip(store, async (measure) => {
    for (let round = 0; round < handOvers; round += 1) {
      times.push(await circle.handOver());
      await sleep(backInQueueMs);
      raw.push(await measure());
      await sleep(backInQueueMs);
    }
  });
  return { candidates, requests, p50: quantile(times, 0.5), raw: quantile(raw, 0.5) };
}

/** Settles with what went wrong. */
async function campaign(store: Store): Promise<string[]> {
  const meter = await Meter.of(store.name, store.server);
  const all: Figures[] = [];
  for (const candidates of crowds) {
    const now = await figures(store, meter, candidates);
    all.push(now);
    console.log(
      `${store.name}: ${candidates} candidates: ${now.requests.toFixed(1)} requests per hand-over; ` +
        `p50 ${now.p50.toFixed(2)} ms = ${(now.p50 / now.raw).toFixed(1)} × the round trip of a write (${now.raw.toFixed(2)} ms)`,
    );
  }
  const [few, many] = [all[0]?.requests ?? 0, all.at(-1)?.requests ?? 0];
  return many > few + flatness
    ? [`${store.name}: ${few.toFixed(1)} requests per hand-over became ${many.toFixed(1)}`]
    : [];
}

await makeEngineReady();
const only = process.argv[2];
const faults: string[] = [];
for (const name of storeNames.filter((each) => only === undefined || each === only)) {
  await using store = await startOwnStore(name);
  faults.push(...(await campaign(store)));
}
for (const fault of faults) console.error(`failed: ${fault}`);
process.exitCode = faults.length === 0 ? 0 : 1;
