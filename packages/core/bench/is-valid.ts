// What the check before each effect costs (budget: 250 ns), and how long one process takes to lead 1,000 elections.
//
//   pnpm --dir packages/core bench
import { createElection } from "../src/election.ts";
import { memory } from "../src/memory.ts";

const rounds = 20;
const checks = 500_000;
const elections = 1_000;

await using backend = memory();
await using election = createElection({ backend, name: "bench" });
const term = await election.campaign();

let valid = 0;
const perCheck: number[] = [];
for (let round = 0; round < rounds; round++) {
  const begun = performance.now();
  for (let check = 0; check < checks; check++) if (term.isValid()) valid += 1;
  perCheck.push(((performance.now() - begun) / checks) * 1e6);
  // The session is to be proven meanwhile.
  await new Promise((resolve) => setImmediate(resolve));
}
if (valid !== rounds * checks) throw new Error("the term was lost on the way");
print("isValid()", perCheck, "ns");
await term.resign();

const untilLed: number[] = [];
for (let round = 0; round < rounds; round++) {
  await using store = memory();
  const candidates = Array.from({ length: elections }, (_, index) =>
    createElection({ backend: store, name: `bench-${index}` }),
  );
  const begun = performance.now();
  const terms = await Promise.all(candidates.map((candidate) => candidate.campaign()));
  untilLed.push(performance.now() - begun);
  await Promise.all(terms.map((each) => each.resign()));
}
print(`${elections} elections led`, untilLed, "ms");

function print(what: string, samples: number[], unit: string): void {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (quantile: number): string => (sorted[Math.floor(sorted.length * quantile)] ?? NaN).toFixed(1);
  process.stdout.write(
    `${what}: median ${at(0.5)} ${unit}, best ${at(0)} ${unit}, worst ${at(0.999)} ${unit}\n`,
  );
}
