// Each outage once, on every server, all side by side, each for long enough to cost every term; and the control.
// More of them, and whether memory stays flat: `pnpm campaign:outages`.
import { beforeAll, expect, test } from "vitest";
import { ordeal } from "../campaigns/ordeal.ts";
import type { Outcome } from "../campaigns/outage-plan.ts";
import { singleNames, startSingle, type Site } from "../campaigns/outage-sites.ts";
import { storeNames } from "../campaigns/stores.ts";

const plan = { restarts: "each", seed: 1, links: false, processes: 2 } as const;
const control = singleNames.at(-1)!;
const own = Object.keys(process.env).every((name) => !/^ELECT_TEST_\w+_URL$/.test(name));

const outcomes = new Map<string, PromiseSettledResult<Outcome>>();

beforeAll(async () => {
  if (!own) return;
  const run = async (name: string): Promise<Outcome> => {
    await using site = await startSingle(name);
    if (name === control) return await ordeal(hasty(site), { ...plan, restarts: 1, careless: true });
    return await ordeal(site, plan);
  };
  const names = [...storeNames, control];
  const settled = await Promise.allSettled(names.map(run));
  for (const [index, outcome] of settled.entries()) outcomes.set(names[index]!, outcome);
}, 300_000);

/** Gives its candidates no time at all. */
function hasty({ name, url, outages, link }: Site): Site {
  return {
    name,
    url,
    outages,
    finale: null,
    quietMs: -Infinity,
    link,
    [Symbol.asyncDispose]: async () => {},
  };
}

function outcomeOf(name: string, skip: (reason: string) => void): Outcome | undefined {
  if (!own) skip("servers that ELECT_TEST_…_URL names are not ours to kill");
  const outcome = outcomes.get(name);
  if (outcome?.status === "rejected") throw outcome.reason;
  return outcome?.value;
}

test.for(storeNames)(
  "G-21 G-22 %s is away at the start, killed, shut down, paused: nothing unhandled, no overlap, elections resume, the processes end",
  (name, { skip }) => {
    const outcome = outcomeOf(name, skip);
    expect(outcome?.faults).toEqual([]);
    expect(outcome?.restarts).toBe(3);
    const { unreachable: _, ...account } = outcome?.account ?? { terms: 0, unreachable: 0 };
    // At the start and after each of four outages, all three elections have a new leader.
    expect(account.terms).toBeGreaterThanOrEqual(5 * 3);
    for (const [what, count] of Object.entries({ ...account, claims: outcome?.claims }))
      expect(count, what).toBeGreaterThan(0);
  },
);

test("the control: what is unhandled, led too late, or still running in the end is found", ({ skip }) => {
  const faults = outcomeOf(control, skip)?.faults.join("\n");
  for (const fault of ["unhandled rejection", "uncaught exception", "not led within", "not end by itself"]) {
    expect(faults).toContain(fault);
  }
});
