/** A thousand elections of one process: what they cost, printed; the bound is for a machine that is very busy. */

import { createElection } from "@elect/core";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { sqlite } from "../src/index.ts";

const elections = 1_000;

test.for(["lock", "lease"])(`P11 G-14 ${elections} elections are led together (%s)`, async (mode) => {
  const directory = mkdtempSync(join(tmpdir(), "elect-scale-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  await using backend = sqlite(`sqlite:${directory}?mode=${mode}`);
  await using first = await createElection({ backend, name: "first" }).campaign();
  const candidates = Array.from({ length: elections }, (_, index) =>
    createElection({ backend, name: `election ${index}` }),
  );

  const [memory, start] = [process.memoryUsage().rss, performance.now()];
  const terms = await Promise.all(candidates.map((candidate) => candidate.campaign()));
  const ms = performance.now() - start;
  const megabytes = (process.memoryUsage().rss - memory) / 1e6;
  console.log(`${elections} led after ${ms.toFixed(1)} ms (${mode}), +${megabytes.toFixed(1)} MB`);

  expect(first.isValid() && terms.every((term) => term.isValid())).toBe(true);
  expect(ms).toBeLessThan(5_000);
  await Promise.all(terms.map((term) => term.resign()));
});
