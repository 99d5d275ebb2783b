import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { runToEnd, type Ending } from "../../tooling/run-to-end.ts";

const require = createRequire(import.meta.url);
const finished = promisify(execFile);

/** Node of the workspace, and the oldest that `engines` admits. */
export const runtimes = {
  node24: process.execPath,
  node22: resolve(import.meta.dirname, "../../oldest/node_modules/node/bin/node"),
};

/** A stranger's project: a folder outside the workspace, empty but for a manifest, whose npm knows `registry` alone. */
export class Project implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "elect-project-"));

  constructor(registry: string) {
    this.write("package.json", JSON.stringify({ name: "project", private: true, type: "module" }));
    this.write(".npmrc", `registry=${registry}\ncache=${join(this.folder, ".npm")}\nupdate-notifier=false\n`);
  }

  /** `npm install <words>`, whatever the settings are of the user who runs the tests. */
  async install(...words: string[]): Promise<void> {
    const env = { ...ownEnvironment(), npm_config_userconfig: join(this.folder, ".npmrc") };
    await finished("npm", ["install", "--no-audit", ...words], { cwd: this.folder, env });
  }

  /** The version of an installed package. */
  installed(name: string): string | undefined {
    const file = join(this.folder, "node_modules", name, "package.json");
    if (!existsSync(file)) return undefined;
    return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
  }

  /** A file of the project's; returns its path. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** Copies files of `test/`, or what a folder there has. */
  copy(from: string, to = "."): void {
    cpSync(join(import.meta.dirname, from), join(this.folder, to), { recursive: true });
  }

  /** `tsc -p tsconfig.json <words>`, of a version that is installed here under this name. */
  async typescript(name: string, ...words: string[]): Promise<Ending> {
    const manifestFile = require.resolve(`${name}/package.json`);
    const { bin } = JSON.parse(readFileSync(manifestFile, "utf8")) as { bin: { tsc: string } };
    const compiler = join(dirname(manifestFile), bin.tsc);
    return this.run(process.execPath, [compiler, "-p", "tsconfig.json", ...words]);
  }

  /** Runs a program to its end. One that does not come to it is killed. */
  async run(
    command: string,
    words: readonly string[],
    variables: Readonly<Record<string, string>> = {},
  ): Promise<Ending> {
    return runToEnd(command, words, { cwd: this.folder, env: { ...ownEnvironment(), ...variables } });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A stranger knows nothing of the workspace: neither its conditions nor its settings. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(NODE_OPTIONS|NODE_PATH|VITEST|npm_|pnpm_|ELECT_)/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
}
