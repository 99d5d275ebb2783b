import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { SuiteResult } from "../../tooling/results-reporter.ts";
import { tallySuites } from "../src/tally.ts";
import { readPackage } from "../src/workspace.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "elect-summary-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function declares(...scripts: string[]): void {
  const manifest = {
    name: "a",
    scripts: Object.fromEntries(scripts.map((script) => [script, "vitest run"])),
  };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
}

function left(suite: string, result: Partial<SuiteResult>): void {
  mkdirSync(join(folder, ".results"), { recursive: true });
  const whole: SuiteResult = { passed: 0, failed: [], skipped: [], ...result };
  writeFileSync(join(folder, ".results", `${suite}.json`), JSON.stringify(whole));
}

const tally = () => tallySuites([readPackage(folder)]);

it("adds up the suites of a package", () => {
  declares("test", "test:contract");
  left("unit", { passed: 2 });
  left("contract", { passed: 3, skipped: [{ name: "t", reason: "no engine" }] });
  expect(tally()).toEqual({
    passed: 5,
    failed: [],
    skipped: [{ where: "a contract: t", reason: "no engine" }],
  });
});

it("counts a failed test, and says why it failed", () => {
  declares("test");
  left("unit", { passed: 1, failed: [{ name: "t", why: "1 is not 2" }] });
  expect(tally()).toMatchObject({ passed: 1, failed: [{ where: "a unit: t", why: "1 is not 2" }] });
});

it("fails a suite that left no result", () => {
  declares("test", "test:contract");
  left("unit", { passed: 1 });
  expect(tally().failed).toEqual([{ where: "a contract", why: "should have run and left no result" }]);
});

it("fails a suite that ran no test", () => {
  declares("test");
  left("unit", {});
  expect(tally().failed).toEqual([{ where: "a unit", why: "ran no test" }]);
});

it("fails a skip without a reason", () => {
  declares("test");
  left("unit", { passed: 1, skipped: [{ name: "t", reason: null }] });
  expect(tally()).toMatchObject({ failed: [{ why: "skipped without a reason" }], skipped: [] });
});

it("fails test files that no script runs", () => {
  declares("build");
  mkdirSync(join(folder, "test"));
  writeFileSync(join(folder, "test/a.test.ts"), "");
  expect(tally().failed).toEqual([{ where: "a unit", why: "has test files that no script runs" }]);
});

it("fails contract tests that no script runs, though another suite is run", () => {
  declares("test");
  left("unit", { passed: 1 });
  mkdirSync(join(folder, "test"));
  writeFileSync(join(folder, "test/contract.test.ts"), "");
  expect(tally().failed).toEqual([{ where: "a contract", why: "has test files that no script runs" }]);
});
