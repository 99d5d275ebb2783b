// Servers are killed, shut down, paused and restarted, one outage after the other, while processes elect each other on
// them. Afterwards: was everything as it must be, and has anything grown?
//
//     pnpm --dir integration/servers campaign:outages [restarts] [store] [--seed=n] [--leak=kB]
import { parseArgs } from "node:util";
import { makeEngineReady } from "../src/index.ts";
import { quantile } from "./figures.ts";
import { growth } from "./footprint.ts";
import { ordeal, type Outcome } from "./ordeal.ts";
import { singleNames, startSingle, type Site } from "./outage-sites.ts";
import { topologies } from "./outage-topologies.ts";

/** Topologies take some ten seconds to come back. */
const restartsOfTopology = 20;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: "string" }, leak: { type: "string" } },
});
const [restarts, only] = positionals;
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const leakKb = Number(values.leak ?? 0);

const starts: [name: string, start: () => Promise<Site>, restarts: number][] = [
  ...singleNames.map((name): (typeof starts)[number] => [name, async () => startSingle(name), 200]),
  ...Object.entries(topologies).map(([name, start]): (typeof starts)[number] => [
    name,
    start,
    restartsOfTopology,
  ]),
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

await makeEngineReady();
const faults: string[] = [];
for (const [name, start, usual] of starts.filter(([each]) => only === undefined || each === only)) {
  await using site = await start();
  const plan = { restarts: Number(restarts ?? usual), seed, links: true, processes: 3, leakKb };
  console.log(`${name}: seed ${seed}`);
  const outcome = await ordeal(site, plan);
  report(outcome);
  const grown = growth(outcome.footprints);
  for (const line of grown.lines) console.log(`${name}: ${line}`);
  faults.push(...outcome.faults, ...grown.faults.map((fault) => `${name} (seed ${seed}): ${fault}`));
}
for (const fault of faults) console.error(`failed: ${fault}`);
process.exitCode = faults.length === 0 ? 0 : 1;
