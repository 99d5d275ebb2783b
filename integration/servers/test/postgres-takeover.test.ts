// A short form of `pnpm campaign:postgres-takeover`, with bounds that a slow machine meets, too.
import { expect, test } from "vitest";
import { Line } from "../campaigns/postgres-crowds.ts";
import { blackholeWaiter, endure } from "../campaigns/postgres-lost-connections.ts";
import { faultsOf, inMode } from "../campaigns/postgres-takeover.ts";
import { startStore } from "../campaigns/stores.ts";

const elections = 200;

test.each([
  // The last proof was a third of the TTL before the kill at most.
  { mode: "lease", when: "when the lease is over", ttl: 3_000, earliest: 1_500, latest: 30_000 },
  { mode: "connection", when: "long before that", ttl: 60_000, earliest: 0, latest: 10_000 },
] as const)(
  'PG-1 takeover "$mode": who leads is killed, alone or with the next in line, and replaced $when',
  async ({ mode, ttl, earliest, latest }) => {
    await using store = await startStore("PostgreSQL");
    for (const killed of [1, 2]) {
      await using line = await Line.of(3, { url: inMode(store, mode), elections, ttl });
      const times = await line.kill(killed);
      expect(times).toHaveLength(elections);
      expect(Math.min(...times)).toBeGreaterThan(earliest);
      expect(Math.max(...times)).toBeLessThan(latest);
    }
  },
);

test("P1 a leader that hears nothing loses its connection: no overlap by the lease; by the connection there is one", async () => {
  await using store = await startStore("PostgreSQL");
  const ttl = 3_000;
  const outcomes = [];
  for (const deaf of ["stopped", "silent"] as const)
    for (const loss of ["terminated", "reset"] as const)
      outcomes.push(await endure(store.server, inMode(store, "lease"), ttl, { deaf, loss }));
  expect(faultsOf("lease", outcomes)).toEqual([]);
  const control = await endure(store.server, inMode(store, "connection"), ttl, {
    deaf: "silent",
    loss: "terminated",
  });
  expect(control.overlapMs, "the declared limit; if there is none, this sees nothing").toBeGreaterThan(0);
});

test("PG-4 a waiter behind a silent link never wins", async () => {
  await using store = await startStore("PostgreSQL");
  expect(await blackholeWaiter(store.server, store.url, 3_000)).toEqual([]);
});
