import { execFileSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { filesOfEarlier, suites } from "../../tooling/suites.ts";

export interface WorkspacePackage {
  readonly name: string;
  readonly folder: string;
  /** The suites that its scripts promise to run. */
  readonly promised: readonly string[];
  /** The suites that it has test files for. */
  readonly written: readonly string[];
}

export function workspacePackages(root: string): WorkspacePackage[] {
  const listed = execFileSync("pnpm", ["list", "--recursive", "--depth=-1", "--json"], {
    cwd: root,
    encoding: "utf8",
  });
  return (JSON.parse(listed) as { path: string }[])
    .filter(({ path }) => path !== root)
    .map(({ path }) => readPackage(path));
}

export function readPackage(folder: string): WorkspacePackage {
  const { name, scripts } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    name: string;
    scripts?: Record<string, string>;
  };
  return {
    name,
    folder,
    promised: suites.filter(({ script }) => scripts?.[script] !== undefined).map((suite) => suite.name),
    written: suites
      .filter((suite) => globSync(suite.files, { cwd: folder, exclude: filesOfEarlier(suite) }).length > 0)
      .map((suite) => suite.name),
  };
}
