// Everything that must hold, and one last line that says so: `N passed, N failed`. The line is printed and the exit
// code is set here, whatever turbo did: it goes on after a failure, and a suite that is missing counts as failed.
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { suites } from "../../tooling/suites.ts";
import { tallySuites } from "./tally.ts";
import { runTasks } from "./turbo.ts";
import { workspacePackages } from "./workspace.ts";

const checks = ["build", "lint", "format:check", "knip", "sherif", "typecheck", "check:package"];

const root = resolve(import.meta.dirname, "../../..");
const packages = workspacePackages(root);
for (const { folder } of packages) rmSync(join(folder, ".results"), { recursive: true, force: true });

const failedTasks = runTasks(root, [...checks, ...suites.map(({ script }) => script)]);
const tally = tallySuites(packages);

// A task that failed because its tests did is told by them; any other failed task is a failure of its own.
const told = new Set(tally.failed.map(({ where }) => where.split(":")[0]));
for (const { task, why } of failedTasks) {
  const [name, script] = task.split(/#(.*)/);
  const suite = suites.find((candidate) => candidate.script === script);
  if (suite === undefined || !told.has(`${name} ${suite.name}`)) tally.failed.push({ where: task, why });
}

for (const { where, reason } of tally.skipped) console.log(`skipped  ${where}\n         ${reason}`);
for (const { where, why } of tally.failed) console.log(`FAILED   ${where}\n         ${why}`);

const skipped = tally.skipped.length === 0 ? "" : `, ${tally.skipped.length} skipped`;
console.log(`\n${tally.passed} passed, ${tally.failed.length} failed${skipped}`);
process.exitCode = tally.failed.length === 0 ? 0 : 1;
