import { globSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { published } from "./published.ts";

const root = resolve(import.meta.dirname, "../../..");
const read = (path: string) => JSON.parse(readFileSync(join(root, path), "utf8")) as Record<string, unknown>;

it("every package under packages/ is published and tried by the consumers here", () => {
  const folders = globSync("packages/*/package.json", { cwd: root }).map((file) => dirname(file));
  expect(folders.toSorted()).toEqual(published.map((name) => `packages/${name}`).toSorted());
});

// turbo passes over a package that lacks a task's script, without a word.
describe.for(published)("%s", (name) => {
  const manifest = read(`packages/${name}/package.json`);

  it("has the scripts of every check", () => {
    expect(Object.keys(manifest["scripts"] as object)).toEqual(
      expect.arrayContaining(["build", "typecheck", "test", "check:package", "api:update"]),
    );
  });

  it("says what every published package says", () => {
    expect(manifest).toMatchObject({
      name: `@elect/${name}`,
      license: "MIT",
      type: "module",
      sideEffects: false,
      engines: { node: ">=22.13" },
      repository: { directory: `packages/${name}` },
    });
    expect(manifest).not.toHaveProperty("private");
  });

  it("admits nothing older than the oldest that is tried", () => {
    const { engines, peerDependencies } = manifest as Record<string, Record<string, string>>;
    const { "@elect/core": _, vitest: __, ...admitted } = { ...engines, ...peerDependencies };
    for (const [peer, range] of Object.entries(admitted)) {
      const { version } = read(`integration/oldest/node_modules/${peer}/package.json`);
      const [, lowest] = /^(?:>=|\^)([\d.]+)/.exec(range) ?? [];
      expect(`${String(version)}.`, peer).toSatisfy((tried: string) => tried.startsWith(`${lowest}.`));
    }
  });
});
