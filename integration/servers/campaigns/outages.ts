// Servers are killed, shut down, paused and restarted, one outage after the other, while processes elect each other on
// them. Afterwards: was everything as it must be, and has anything grown?
//
//     pnpm --dir integration/servers campaign:outages [restarts] [store] [--seed=n] [--leak=kB]
import { parseArgs } from "node:util";
import { makeEngineReady } from "../src/index.ts";
import { quantile } from "./figures.ts";
import { growth } from "./footprint.ts";
import { ordeal } from "./ordeal.ts";
import type { Outcome } from "./outage-plan.ts";
import { singleNames, startSingle, type Site } from "./outage-sites.ts";
import { postgresPair, redisSentinel } from "./outage-failovers.ts";
import { etcdCluster, zookeeperEnsemble } from "./outage-quorums.ts";

interface Entry {
  readonly name: string;
  readonly start: () => Promise<Site>;
  /** Unless it is told otherwise. Topologies take some ten seconds to come back. */
  readonly restarts: number;
}

const entries: readonly Entry[] = [
  ...singleNames.map((name): Entry => ({ name, start: async () => startSingle(name), restarts: 200 })),
  { name: "etcd, three members", start: etcdCluster, restarts: 20 },
  { name: "ZooKeeper, three servers", start: zookeeperEnsemble, restarts: 20 },
  { name: "Redis Sentinel", start: redisSentinel, restarts: 10 },
  { name: "PostgreSQL with a standby", start: postgresPair, restarts: 20 },
];

function report({ site, overcome, restarts: count, boundMs, account, claims }: Outcome): void {
  const kinds = Map.groupBy(overcome, ({ name }) => name);
  for (const [name, cases] of kinds) {
    const times = cases.map(({ ms }) => ms);
    console.log(
      `${site}: ${cases.length} × ${name}: led again after ${quantile(times, 0.5).toFixed(0)} ms, ` +
        `the longest ${Math.max(...times).toFixed(0)} ms; bound ${boundMs} ms`,
    );
  }
  console.log(
    `${site}: ${count} restarts in ${overcome.length} outages; ${account.terms} terms, ${claims} claims checked, ` +
      `${account.troubles} troubles reported; ${account.answered} questions answered, ${account.unreachable} unreachable, ` +
      `${account.observed} leaders observed`,
  );
}

/** Settles with what went wrong. */
async function campaign({ name, start, restarts }: Entry, seed: number, leakKb: number): Promise<string[]> {
  console.log(`${name}: seed ${seed}`);
  await using site = await start();
  const outcome = await ordeal(site, { restarts, seed, links: true, processes: 3, leakKb });
  report(outcome);
  const { lines, faults } = growth(outcome.footprints);
  for (const line of lines) console.log(`${name}: ${line}`);
  return [...outcome.faults, ...faults.map((fault) => `${name} (seed ${seed}): ${fault}`)];
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: "string" }, leak: { type: "string" } },
});
const [restarts, only] = positionals;
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const chosen = entries.filter(({ name }) => only === undefined || name === only);
if (chosen.length === 0)
  throw new Error(`no such store: ${only}. Any of: ${entries.map(({ name }) => name).join("; ")}`);

await makeEngineReady();
const faults: string[] = [];
// One after the other: what is measured is not to be the other stores.
for (const entry of chosen) {
  const wanted = { ...entry, restarts: Number(restarts ?? entry.restarts) };
  faults.push(...(await campaign(wanted, seed, Number(values.leak ?? 0))));
}
for (const fault of faults) console.error(`failed: ${fault}`);
process.exitCode = faults.length === 0 ? 0 : 1;
