import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { build } from "esbuild";
import { expect, it } from "vitest";

const core = resolve(import.meta.dirname, "../../../packages/core");

it("@elect/core depends on no package", () => {
  const manifest = JSON.parse(readFileSync(join(core, "package.json"), "utf8")) as Record<string, unknown>;
  expect(manifest).not.toHaveProperty("dependencies");
  expect(manifest).not.toHaveProperty("peerDependencies");
  expect(manifest).not.toHaveProperty("optionalDependencies");
});

it("@elect/core imports only itself and Node", () => {
  const specifier = /(?:\bfrom|\bimport|\brequire\()\s*\(?\s*["']([^"']+)["']/g;
  const sources = globSync("src/**/*.ts", { cwd: core });
  const imported = sources.flatMap((file) =>
    [
      ...readFileSync(join(core, file), "utf8")
        .replace(/^\s*(\/?\*|\/\/).*$/gm, "")
        .matchAll(specifier),
    ].map(([, name]) => ({ file, name })),
  );
  expect(imported.length).toBeGreaterThan(0);
  expect(imported.filter(({ name }) => !/^(\.{1,2}\/|node:)/.test(name!))).toEqual([]);
});

it("@elect/core is at most 10 kB, minified and compressed", async () => {
  const { outputFiles } = await build({
    entryPoints: [join(core, "src/index.ts")],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    target: "es2023",
    packages: "external",
    write: false,
  });
  const size = brotliCompressSync(outputFiles[0]!.contents).length;
  console.log(`@elect/core: ${size} bytes`);
  expect(size).toBeLessThanOrEqual(10_000);
});
