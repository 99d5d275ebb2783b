import { describe, expect, it } from "vitest";

import { World } from "./world.ts";

const first = Number(process.env["ELECT_SIMULATION_FIRST"] ?? 1);
const seeds = Number(process.env["ELECT_SIMULATION_SEEDS"] ?? 400);

it("x", { timeout: 600_000 }, async () => {
  const faults = new Map<string, number>();
  const seen = new Map<string, number>();
  for (let seed = first; seed < first + seeds; seed++) {
    const world = new World(seed, faults);
    const violation = await world.run();
    if (process.env["ELECT_SIMULATION_VERBOSE"]) console.log(seed, violation, world.steps);
    for (const [what, count] of world.checker.seen) seen.set(what, (seen.get(what) ?? 0) + count);
    if (violation !== null) {
      throw new Error(
        `seed ${seed}: ${violation}\n${JSON.stringify(world.store.kind)} ttl ${world.ttl}\n${world.trace.slice(-Number(process.env["TR"] ?? 60)).join("\n")}`,
      );
    }
  }
  console.log(
    [...faults]
      .toSorted()
      .map(([k, v]) => `${v} ${k}`)
      .join("\n"),
  );
  console.log(
    [...seen]
      .toSorted()
      .map(([k, v]) => `${v} ${k}`)
      .join("\n"),
  );
});
