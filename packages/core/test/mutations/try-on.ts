/** Runs tests of this package on a changed copy of its sources, in a process of their own. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Change } from "./mutations.ts";

const core = join(import.meta.dirname, "../..");
const source = join(core, "src");

/** What the tests of one file said. */
export interface FileOutcome {
  readonly file: string;
  readonly passed: readonly string[];
  readonly failed: readonly string[];
}

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** Small runs: a mistake that matters is found soon. */
const sizes = { ELECT_SIMULATION_SEEDS: "40", ELECT_PROPERTY_RUNS: "1000" };

/** Answers with what became of each of the test files. */
export async function tryOn(changes: readonly Change[], files: readonly string[]): Promise<FileOutcome[]> {
  const scratch = await mkdtemp(join(tmpdir(), "elect-mutation-"));
  try {
    const copy = join(scratch, "src");
    await cp(source, copy, { recursive: true });
    for (const change of changes) await apply(copy, change);
    const report = await run(copy, join(scratch, "report.json"), files);
    return files.map((file) => outcome(report, file));
  } finally {
    await rm(scratch, { recursive: true });
  }
}

async function apply(copy: string, { file, from, to }: Change): Promise<void> {
  const path = join(copy, file);
  const text = await readFile(path, "utf8");
  const [before, after, ...more] = text.split(from);
  if (before === undefined || after === undefined || more.length > 0)
    throw new Error(`${file} has not exactly one ${JSON.stringify(from)}: bring the mutation up to date`);
  await writeFile(path, before + to + after);
}

async function run(copy: string, output: string, files: readonly string[]): Promise<Report> {
  const vitest = join(createRequire(import.meta.url).resolve("vitest/package.json"), "../vitest.mjs");
  const paths = files.map((file) => `test/${file}.test.ts`);
  const child = spawn(
    process.execPath,
    [vitest, "run", "--project", "unit", "--reporter=json", `--outputFile=${output}`, ...paths],
    { cwd: core, env: { ...process.env, ...sizes, ELECT_CORE_SOURCE: copy }, stdio: "ignore" },
  );
  await once(child, "exit");
  return JSON.parse(await readFile(output, "utf8")) as Report;
}

function outcome(report: Report, file: string): FileOutcome {
  const result = report.testResults.find(({ name }) => name.endsWith(`test/${file}.test.ts`));
  if (result === undefined) throw new Error(`no test was run in ${file}`);
  const named = (status: string): string[] =>
    result.assertionResults.filter((test) => test.status === status).map((test) => test.fullName);
  const failed = named("failed");
  // A file that does not even load has tested nothing.
  if (result.status === "failed" && failed.length === 0)
    throw new Error(`${file} could not be run: ${result.message}`);
  return { file, passed: named("passed"), failed };
}
