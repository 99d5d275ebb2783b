/**
 * The negative controls: a suite is worth what it notices. Each store here is broken in one way that was found in
 * the wild, and the test that is about it has to fail.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { temporary } from "./temporary.ts";
import type { Breakage } from "./wire/server.ts";

const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");

const controls: [Breakage, string][] = [
  ["ends-early", "P2 P3 G-3 A6-1"],
  ["late-ghosts", "P5 S4 G-7 a claim that arrives late, after it was given up"],
  ["own-session", "S2 two candidates of one process"],
  ["float-tokens", "P4 A6-9 tokens rise over 50"],
  ["token-restarts", "P4 G-20 the same id"],
  ["cached-proof", "P2 P3 G-3 A6-1"],
  ["no-release", "P10 a resignation wakes the successor"],
  ["release-any", "P5 4.L-6 a release that arrives late"],
  ["no-withdrawal", "P7 A6-4 who stopped waiting"],
  ["no-wake-up", "P10 a resignation wakes the successor"],
  ["herd", "P11 4.D-34 a hand-over wakes one waiter"],
  ["blind-proof", "P1 S5 A6-5 a deleted record"],
];

describe.concurrent("a store that is broken on purpose fails its test", () => {
  test.for(controls)("%s", { timeout: 120_000 }, async ([broken, name], { expect: expectHere }) => {
    const pattern = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    using directory = temporary();
    const outcome = join(directory.path, "outcome.json");
    const arguments_ = [
      "run",
      "--project",
      "contract",
      "test/wire.contract.test.ts",
      "-t",
      pattern,
      "--reporter=json",
      "--outputFile",
      outcome,
    ];
    await promisify(execFile)(process.execPath, [vitest, ...arguments_], {
      cwd: join(import.meta.dirname, ".."),
      env: { ...process.env, ELECT_TESTING_BROKEN: broken },
    }).catch(() => {});
    const report = JSON.parse(readFileSync(outcome, "utf8")) as {
      numFailedTests: number;
      numPassedTests: number;
    };
    expectHere([report.numFailedTests, report.numPassedTests]).toEqual([1, 0]);
  });
});

test("every breakage has its control", () => {
  expect(new Set(controls.map(([broken]) => broken)).size).toBe(12);
});
