import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { SuiteResult } from "../../tooling/results-reporter.ts";
import type { WorkspacePackage } from "./workspace.ts";

export interface Tally {
  passed: number;
  failed: { where: string; why: string }[];
  skipped: { where: string; reason: string }[];
}

/**
 * Adds up what the suites left behind. Nothing is believed to have passed: a suite that a script promises and that
 * left no result failed, so did a suite without a test, test files that no script runs, and a skip without a reason.
 */
export function tallySuites(packages: readonly WorkspacePackage[]): Tally {
  const tally: Tally = { passed: 0, failed: [], skipped: [] };
  for (const { name, folder, promised, written } of packages) {
    for (const suite of written) {
      if (promised.includes(suite)) continue;
      tally.failed.push({ where: `${name} ${suite}`, why: "has test files that no script runs" });
    }
    for (const suite of promised) {
      const where = `${name} ${suite}`;
      const file = join(folder, ".results", `${suite}.json`);
      if (existsSync(file)) addSuite(tally, where, JSON.parse(readFileSync(file, "utf8")) as SuiteResult);
      else tally.failed.push({ where, why: "should have run and left no result" });
    }
  }
  return tally;
}

function addSuite(tally: Tally, where: string, { passed, failed, skipped }: SuiteResult): void {
  if (passed + failed.length + skipped.length === 0) tally.failed.push({ where, why: "ran no test" });
  tally.passed += passed;
  for (const { name, why } of failed) tally.failed.push({ where: `${where}: ${name}`, why });
  for (const { name, reason } of skipped) {
    if (reason === null) tally.failed.push({ where: `${where}: ${name}`, why: "skipped without a reason" });
    else tally.skipped.push({ where: `${where}: ${name}`, reason });
  }
}
