// One process that leads a thousand elections: what that costs the server while nothing happens, compared with one
// election, and how long it takes another process to take over all of them when it is killed.
//
//     pnpm --dir integration/servers campaign:scale [elections] [store]
import { setTimeout as sleep } from "node:timers/promises";
import { makeEngineReady } from "../src/index.ts";
import { Meter } from "./counters.ts";
import { crashBound } from "./crash-bound.ts";
import { Crowd } from "./crowd-process.ts";
import { hostNow, quantile } from "./figures.ts";
import { startOwnStore, storeNames, type Store } from "./stores.ts";

const ttl = 3_000;
/** How long the server is watched while nothing happens. */
const windowMs = 4 * ttl;
/** Two connections; every third of the TTL, give or take a tenth, a proof of at most two requests, as etcd's is; the net's poll. */
const budget = { connections: 2, perSecond: (2 * 3 * 1.1 + 1) / (ttl / 1000) };

/** Settles with what went wrong. */
async function campaign(store: Store, elections: number): Promise<string[]> {
  const meter = await Meter.of(store.name, store.server);
  const idle = await meter.measure(async () => sleep(windowMs));
  const line = ({ requests, connections }: typeof idle): string =>
    `${connections} connections, ${perSecond(requests - idle.requests).toFixed(2)} requests/s`;

  await using single = new Crowd({ url: store.url, elections: 1, ttl });
  await single.leads(1);
  await sleep(ttl);
  const one = await meter.measure(async () => sleep(windowMs));
  await single.leave();
  console.log(`${store.name}: leading 1: ${line(one)}`);

  const started = hostNow();
  await using leader = new Crowd({ url: store.url, elections, ttl });
  await leader.leads(elections);
  const [first, last] = [Math.min(...leader.elected), Math.max(...leader.elected)];
  console.log(
    `${store.name}: ${elections} led ${(last - started).toFixed(0)} ms after the process was started, ` +
      `the last ${(last - first).toFixed(0)} ms after the first`,
  );
  await sleep(ttl);
  const many = await meter.measure(async () => sleep(windowMs));
  console.log(`${store.name}: leading ${elections}: ${line(many)}`);

  await using successor = new Crowd({ url: store.url, elections, ttl });
  await sleep(2 * ttl);
  const both = await meter.measure(async () => sleep(windowMs));
  console.log(`${store.name}: leading ${elections}, and another process that waits for all: ${line(both)}`);

  const killed = hostNow();
  await leader.kill();
  await successor.leads(elections);
  const times = successor.elected.map((at) => at - killed);
  const bound = await crashBound(store.url, ttl);
  console.log(
    `${store.name}: SIGKILL: all ${elections} taken over; p50 ${quantile(times, 0.5).toFixed(0)} ms, ` +
      `max ${Math.max(...times).toFixed(0)} ms; declared bound ${bound} ms`,
  );
  await successor.leave();

  const rate = perSecond(many.requests - idle.requests);
  return [
    ...(many.connections > budget.connections ? [`${many.connections} connections`] : []),
    ...(rate > budget.perSecond ? [`${rate.toFixed(2)} requests/s while idle`] : []),
    ...(Math.max(...times) > bound ? [`taken over after ${Math.max(...times).toFixed(0)} ms`] : []),
  ].map((fault) => `${store.name}: ${fault}`);
}

function perSecond(requests: number): number {
  return requests / (windowMs / 1000);
}

await makeEngineReady();
const [elections = "1000", only] = process.argv.slice(2);
const faults: string[] = [];
// One after the other: they share the machine, and these are measurements.
for (const name of storeNames.filter((each) => only === undefined || each === only)) {
  await using store = await startOwnStore(name);
  faults.push(...(await campaign(store, Number(elections))));
}
for (const fault of faults) console.error(`failed: ${fault}`);
process.exitCode = faults.length === 0 ? 0 : 1;
