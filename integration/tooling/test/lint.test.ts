// The linter's own rules, tried on planted violations: a rule that stopped working would not be missed otherwise.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";

const restricted = {
  "Date.now": "void Date.now();",
  "new Date": "void new Date();",
  "performance.now": "void performance.now();",
  "globalThis.performance": "void globalThis.performance.now();",
  "process.hrtime": "void process.hrtime.bigint();",
  "Math.random": "void Math.random();",
  setTimeout: "void setTimeout(() => {}, 1);",
  setInterval: "void setInterval(() => {}, 1);",
  setImmediate: "void setImmediate(() => {});",
  "globalThis.setTimeout": "void globalThis.setTimeout(() => {}, 1);",
  "AbortSignal.timeout": "void AbortSignal.timeout(1);",
  "node:timers": 'import { setTimeout as later } from "node:timers";\nvoid later;',
  "node:timers/promises": 'import { setTimeout as sleep } from "node:timers/promises";\nvoid sleep;',
  "node:perf_hooks": 'import { performance as clock } from "node:perf_hooks";\nvoid clock;',
};
const everything = Object.values(restricted).join("\n");
const adapters = ["sqlite", "zookeeper", "etcd", "redis", "postgres"];

const planted: Record<string, string> = {
  "packages/core/src/clock.ts": everything,
  "packages/core/test/a.test.ts": everything,
  "packages/testing/src/a.ts": everything,
  "packages/core/src/microtask.ts": "queueMicrotask(() => {});",
  "packages/core/src/print.ts": 'console.log("elected");',
  "packages/testing/src/print.ts": 'console.log("elected");',
  "packages/cli/src/print.ts": 'console.log("elected");',
  "packages/core/src/forgotten.ts": "export function go(work: Promise<void>): void {\n  work;\n}",
};
for (const [index, code] of Object.values(restricted).entries())
  planted[`packages/core/src/${index}.ts`] = code;
for (const name of adapters) planted[`packages/${name}/src/clock.ts`] = restricted["Date.now"];

const broken = new Map<string, string[]>();

beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), "elect-lint-"));
  try {
    copyFileSync(resolve(import.meta.dirname, "../../../.oxlintrc.json"), join(folder, ".oxlintrc.json"));
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: { strict: true } }));
    for (const [file, code] of Object.entries(planted)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), `${code}\n`);
    }
    const { stdout } = spawnSync("oxlint", ["--format=json"], { cwd: folder, encoding: "utf8" });
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
    for (const { code, filename } of diagnostics)
      broken.set(filename, [...(broken.get(filename) ?? []), code]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const brokenIn = (file: string, rule: RegExp) => (broken.get(file) ?? []).filter((code) => rule.test(code));

describe("time and randomness come from core's clock", () => {
  it.for(Object.keys(restricted).map((name, index) => ({ name, index })))("$name", ({ index }) => {
    expect(brokenIn(`packages/core/src/${index}.ts`, /no-restricted-/)).not.toEqual([]);
  });

  it.for(adapters)("not even a file of that name in %s may read it", (name) => {
    expect(brokenIn(`packages/${name}/src/clock.ts`, /no-restricted-/)).not.toEqual([]);
  });

  it.for(["packages/core/src/clock.ts", "packages/core/test/a.test.ts", "packages/testing/src/a.ts"])(
    "%s may touch them",
    (file) => {
      expect(brokenIn(file, /no-restricted-/)).toEqual([]);
    },
  );

  it("a microtask is no timer", () => {
    expect(brokenIn("packages/core/src/microtask.ts", /no-restricted-/)).toEqual([]);
  });
});

it.for(["core", "testing"])("%s does not print", (name) => {
  expect(brokenIn(`packages/${name}/src/print.ts`, /no-console/)).toHaveLength(1);
});

it("the command prints", () => {
  expect(brokenIn("packages/cli/src/print.ts", /no-console/)).toEqual([]);
});

it("a promise that nobody waits for is an error", () => {
  expect(brokenIn("packages/core/src/forgotten.ts", /no-floating-promises/)).toHaveLength(1);
});
