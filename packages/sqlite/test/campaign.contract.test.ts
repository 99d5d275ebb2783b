/** Ten processes on one election, each half second one of them killed, stopped or stalled: a minute in each mode. */

import { runFaultCampaign, summarise, type CampaignOptions } from "@elect/testing";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

const seconds = Number(process.env["ELECT_CAMPAIGN_SECONDS"] ?? 60);
const seed = Number(process.env["ELECT_CAMPAIGN_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

function campaign(mode: "lock" | "lease"): CampaignOptions {
  const directory = mkdtempSync(join(tmpdir(), "elect-campaign-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const adapter = import.meta.resolve("../src/index.ts");
  return { url: `sqlite:${directory}?mode=${mode}`, adapter, candidates: 10, ttl: 1000, seconds, seed };
}

for (const mode of ["lock", "lease"] as const) {
  test(
    `P1 P4 P10 no overlap, rising tokens, a leader again in time (${mode})`,
    { timeout: 300_000 },
    async () => {
      const report = await runFaultCampaign(campaign(mode));
      console.log(`seed ${seed}\n${summarise(report)}`);
      expect(report.violations).toEqual([]);
      expect(report.late).toEqual([]);
      expect(report.faults.length).toBeGreaterThan(seconds);
      expect(report.terms).toBeGreaterThan(seconds / 10);
    },
  );
}

test("the checker sees: candidates that cache their validity overlap", { timeout: 300_000 }, async () => {
  const options = {
    ...campaign("lease"),
    seconds: Math.min(seconds, 20),
    faults: ["stop", "stall"],
    aimed: 1,
  } as const;
  const report = await runFaultCampaign({ ...options, unsafe: true });
  console.log(summarise(report));
  expect(report.violations.filter(({ kind }) => kind === "overlap").length).toBeGreaterThan(0);
});
