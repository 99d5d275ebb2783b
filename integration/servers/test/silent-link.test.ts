// Three rounds of the campaign, with its controls. More: `pnpm campaign:silent-link 20`.
import { expect, test } from "vitest";
import { faultsOf, silentLinks } from "../campaigns/silent-link.ts";
import { startStores, storeNames } from "../campaigns/stores.ts";

test("G-3 silent links: no overlap on any server; the classic ways overlap", async () => {
  await using stores = await startStores();
  const outcomes = await silentLinks(stores.all, 3);
  expect(outcomes.length).toBe(storeNames.length + 3);
  expect(outcomes.flatMap(faultsOf)).toEqual([]);
});
