/** The README's example prints what it says. */
import { execFileSync } from "node:child_process";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { exitCodes } from "../src/index.ts";
import { commandWords, Scratch } from "./rig.ts";

const readme = readFileSync(resolve(import.meta.dirname, "../README.md"), "utf8");

describe("the README", () => {
  it("has an example that runs", () => {
    using scratch = new Scratch();
    const [, example = ""] = /<!-- This block is run[^]*?```sh\n([^]*?)```/.exec(readme) ?? [];
    const shim = scratch.file("elect");
    writeFileSync(
      shim,
      `#!/bin/sh\nexec ${commandWords()
        .map((word) => `'${word}'`)
        .join(" ")} "$@"\n`,
    );
    chmodSync(shim, 0o755);
    const { ELECT_URL: _, NODE_PATH: __, PATH = "", ...env } = process.env;
    const printed = execFileSync("sh", ["-c", example], {
      cwd: scratch.path,
      encoding: "utf8",
      env: { ...env, PATH: `${scratch.path}${delimiter}${PATH}` },
    });
    const promised = example.split("\n").filter((line) => line.startsWith("# "));
    expect(promised.length).toBeGreaterThan(0);
    expect(printed.trimEnd().split("\n")).toEqual(promised.map((line) => line.slice(2)));
  });

  it("has a row for each exit code", () => {
    for (const code of Object.values(exitCodes))
      expect(readme).toMatch(new RegExp(`^\\| (\\d+, )*${code}[ ,]`, "m"));
  });
});
