import { execFile, execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { pack } from "../../tooling/pack.ts";

const packages = resolve(import.meta.dirname, "../../../packages");
const require = createRequire(import.meta.url);
const run = promisify(execFile);

/** The published packages, by the name of their folder. */
export const published = [
  "core",
  "testing",
  "cli",
  "sqlite",
  "zookeeper",
  "etcd",
  "redis",
  "postgres",
] as const;

/**
 * A folder outside the workspace with the files of `test/consumer`, into which npm has installed every package from
 * its tarball. No registry is asked: drivers stay out, and what the packages depend on is packed from here as well.
 */
export class Consumer implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "elect-consumer-"));

  constructor() {
    cpSync(join(import.meta.dirname, "consumer"), this.folder, { recursive: true });
    const tarballs = published.map((name) => pack(join(packages, name), this.folder).path);
    const manifest = { name: "consumer", version: "1.0.0", private: true, type: "module" };
    writeFileSync(join(this.folder, "package.json"), JSON.stringify(manifest));
    const npm = ["--offline", "--legacy-peer-deps", "--no-audit", "--no-fund", "--loglevel=error"];
    const install = [
      "install",
      ...npm,
      ...tarballs,
      packDependency(join(packages, "cli"), "commander", this.folder),
    ];
    execFileSync("npm", install, { cwd: this.folder, stdio: ["ignore", "ignore", "inherit"] });
    mkdirSync(join(this.folder, "node_modules/@types"), { recursive: true });
    symlinkSync(
      dirname(require.resolve("@types/node/package.json")),
      join(this.folder, "node_modules/@types/node"),
    );
  }

  /** What a program printed. Rejects if it fails. */
  async output(command: string, ...args: string[]): Promise<string> {
    try {
      return (await run(command, args, { cwd: this.folder, env: consumerEnvironment() })).stdout;
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      throw new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`, { cause: error });
    }
  }

  node(...args: string[]): Promise<string> {
    return this.output(process.execPath, ...args);
  }

  /** Type-checks the consumer with one of the TypeScript versions that are installed here under an alias. */
  typecheck(typescript: string): Promise<string> {
    const manifestFile = require.resolve(`${typescript}/package.json`);
    const { bin } = JSON.parse(readFileSync(manifestFile, "utf8")) as { bin: { tsc: string } };
    return this.node(join(dirname(manifestFile), bin.tsc), "-p", "tsconfig.json");
  }

  /** A file of the consumer's; returns its path. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  installed(name: string): boolean {
    return existsSync(join(this.folder, "node_modules", name));
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Packs a dependency of ours that has none itself, from where it is installed. */
function packDependency(from: string, name: string, destination: string): string {
  return pack(join(from, "node_modules", name), destination).path;
}

/** A stranger knows nothing of the workspace: neither its conditions nor its settings. */
function consumerEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(NODE_OPTIONS|VITEST|npm_|pnpm_|ELECT_)/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
}
