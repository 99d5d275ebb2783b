// The same program on every store, with only the URL changed: the README's first example, word for word, `elect run`
// and `elect demo`.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startStores, storeNames, type Stores } from "../campaigns/stores.ts";
import { runElect, runProgram } from "./program.ts";

/** Below this package, so that the program finds what an application would have installed. */
const folder = mkdtempSync(resolve(import.meta.dirname, "../.elect-swap-"));
const program = join(folder, "program.ts");
/** From the last word to the end of the process: the term is resigned, the store let go of, no timer left. */
const promptMs = 5_000;

let stores: Stores;

beforeAll(async () => {
  writeFileSync(program, firstExample(resolve(import.meta.dirname, "../../../README.md")));
  stores = await startStores();
});

afterAll(async () => {
  rmSync(folder, { recursive: true });
  await stores[Symbol.asyncDispose]();
});

function firstExample(readme: string): string {
  const [, code] = /^```ts\n(.*?)^```$/ms.exec(readFileSync(readme, "utf8")) ?? [];
  if (code === undefined) throw new Error(`${readme} has no example`);
  return code;
}

const everywhere: { name: string; url: () => string; shared: boolean }[] = [
  { name: "memory", url: () => "memory:", shared: false },
  { name: "SQLite", url: () => `sqlite:${join(folder, "lock")}`, shared: true },
  { name: "SQLite, mode lease", url: () => `sqlite:${join(folder, "lease")}?mode=lease`, shared: true },
  ...storeNames.map((name) => ({
    name,
    url: () => stores.all.find((store) => store.name === name)?.url ?? "",
    shared: true,
  })),
];

describe.each(everywhere)("on $name", ({ url, shared }) => {
  test("the README's example leads and ends, and `elect run` leads the same election after it", async () => {
    const example = await runProgram([program], { ELECT_URL: url() });
    expect(example).toMatchObject({ code: 0, err: "" });
    const [, first = ""] = /^leading under fencing token (\d+)\n$/.exec(example.out) ?? [];
    expect(BigInt(first)).toBeGreaterThan(0n);
    expect(example.lingeredMs).toBeLessThan(promptMs);

    const say = "console.log(process.env.ELECT_TOKEN)";
    const words = [
      "--quiet",
      "--election",
      "nightly-report",
      "--url",
      url(),
      "--",
      process.execPath,
      "-e",
      say,
    ];
    const run = await runElect("run", ...words);
    expect(run).toMatchObject({ code: 0, err: "" });
    const second = BigInt(run.out.trim());
    // Its term comes after the example's, in the same store; memory is each process's own.
    expect(shared ? second > BigInt(first) : second > 0n, `token ${second} after ${first}`).toBe(true);
    expect(run.lingeredMs).toBeLessThan(promptMs);
  });
});

// The candidates of the demo are processes of their own, which no memory is shared by.
describe.concurrent("elect demo", () => {
  test.for(everywhere.filter(({ shared }) => shared))(
    "on $name: three crashes and a resignation, all taken over under rising tokens",
    async ({ url }, { expect }) => {
      const { code, out, err, lingeredMs } = await runElect("demo", "--json", "--url", url());
      expect({ code, err }, out).toEqual({ code: 0, err: "" });
      const summary = JSON.parse(out.trimEnd().split("\n").at(-1) ?? "") as object;
      expect(summary).toMatchObject({ event: "summary", ok: true, wrong: [] });
      expect(lingeredMs).toBeLessThan(promptMs);
    },
  );
});
