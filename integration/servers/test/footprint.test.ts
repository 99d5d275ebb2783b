// What the campaign of outages calls growth, shown on series that are made up: noise as it is measured, and a leak.
import { expect, test } from "vitest";
import { Seeded } from "../../../packages/testing/src/seeded.ts";
import { growth, type Footprint } from "../campaigns/footprint.ts";

/** As on a store where nothing is kept: a warm-up, and then noise. */
function series(leak: Partial<Footprint>, weighings = 200): Footprint[][] {
  const dice = new Seeded(1);
  return Array.from({ length: weighings }, (_, outage) => {
    const warm = 1_500 * (1 - Math.exp(-outage / 25));
    const grown = (measure: keyof Footprint, start: number, noise: number): number =>
      start + outage * (leak[measure] ?? 0) + dice.next() * noise;
    return [
      {
        rssKb: Math.ceil((grown("rssKb", 108_000, 0) + warm) / 64) * 64,
        heapKb: grown("heapKb", 22_000, 150) + warm,
        sockets: Math.floor(grown("sockets", 4, 3)),
        resources: Math.floor(grown("resources", 8, 6)),
      },
    ];
  });
}

test("noise and a warm-up are no growth", () => {
  expect(growth(series({})).faults).toEqual([]);
});

test.for([
  { heapKb: 4 },
  { rssKb: 60 },
  { sockets: 0.05 },
  { resources: 0.1 },
] satisfies Partial<Footprint>[])("with each outage a little more: $0 is found", (leak) => {
  const [measure = ""] = Object.keys(leak);
  const { faults } = growth(series(leak));
  expect(faults).toHaveLength(1);
  expect(faults[0]).toContain(`process 1: ${measure}`);
});

test("a few weighings are not judged", () => {
  expect(growth(series({ heapKb: 40 }, 50)).faults).toEqual([]);
});
