// What must hold for the package in the current folder when it is packed: publint and attw are content, every path
// its package.json promises is in the tarball, nothing else than its sources and their output is, and its API is the
// one that was reviewed.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { apiDifference } from "./api-report.ts";
import { pack, readPacked, type Tarball } from "./pack.ts";

interface Manifest {
  readonly exports?: unknown;
  readonly bin?: unknown;
  readonly [field: string]: unknown;
}

const folder = process.cwd();
const scratch = mkdtempSync(join(tmpdir(), "elect-pack-"));
try {
  const tarball = pack(folder, scratch);
  const manifest = JSON.parse(readPacked(tarball, "package.json")) as Manifest;
  const problems = [
    ...promisedPaths(manifest, tarball),
    ...strangers(tarball),
    ...unpublishable(manifest),
    ...(await publintProblems(tarball)),
    ...attwProblems(tarball),
    ...apiProblems(),
  ];
  for (const problem of problems) console.log(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true });
}

function promisedPaths({ exports, bin }: Manifest, { files }: Tarball): string[] {
  return [...targets(exports), ...targets(bin)]
    .filter((target) => !files.includes(target.replace(/^\.\//, "")))
    .map((target) => `package.json promises ${target}, which is not in the tarball`);
}

function targets(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(targets) : [];
}

function strangers({ files }: Tarball): string[] {
  const expected =
    /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|src\/.*\.ts|dist\/.*\.(js|js\.map|d\.ts))$/;
  const test = /\.(test|spec)\.|(^|\/)(__)?tests?(__)?\//;
  const missing = ["README.md", "LICENSE"].filter((file) => !files.includes(file));
  return [
    ...files
      .filter((file) => !expected.test(file) || test.test(file))
      .map((file) => `${file} should not be published`),
    ...missing.map((file) => `${file} is not in the tarball`),
  ];
}

/** Version ranges that mean something only inside this workspace. */
function unpublishable(manifest: Manifest): string[] {
  return ["dependencies", "peerDependencies", "optionalDependencies"].flatMap((field) =>
    Object.entries((manifest[field] ?? {}) as Record<string, string>)
      .filter(([, range]) => /^(workspace|catalog|link|file):/.test(range))
      .map(([name, range]) => `${field}: ${name} is published as ${range}`),
  );
}

async function publintProblems({ path }: Tarball): Promise<string[]> {
  const bytes = readFileSync(path);
  const { messages, pkg } = await publint({
    strict: true,
    pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) },
  });
  return messages
    .filter(({ type }) => type !== "suggestion")
    .map((message) => `publint: ${formatMessage(message, pkg) ?? message.code}`);
}

function attwProblems({ path }: Tarball): string[] {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve("@arethetypeswrong/cli/package.json");
  const { bin } = require(manifest) as { bin: { attw: string } };
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(manifest, "..", bin.attw), path, "--profile", "esm-only", "--no-emoji", "--no-color"],
    { encoding: "utf8" },
  );
  return status === 0 ? [] : [`attw:\n${stdout}${stderr}`];
}

function apiProblems(): string[] {
  const difference = apiDifference(folder);
  if (difference === null) return [];
  return [`The public API differs from the reviewed one. If that is meant: pnpm api:update\n${difference}`];
}
