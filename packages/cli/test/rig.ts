/** Runs `elect` as users do, in a process of its own, and looks at what it does. */

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { stripTypeScriptTypes } from "node:module";
import { join, resolve } from "node:path";
import { hostNow } from "../src/host-clock.ts";

/** What is built, if it is what the sources say; it starts in half the time. */
const [program, conditions] = isBuilt()
  ? ["../dist/main.js", []]
  : ["../src/main.ts", ["--conditions=@elect/source"]];
/** How long anything may take on a machine that is busy. */
const patience = 20_000;

export interface ElectOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** Runs it to its end. */
export async function elect(words: readonly string[], options?: ElectOptions): Promise<Result> {
  return start(words, options).ended;
}

/** What stands for `elect` on the command line. */
export function commandWords(): string[] {
  return [process.execPath, ...conditions, resolve(import.meta.dirname, program)];
}

export function start(words: readonly string[], options: ElectOptions = {}): Elect {
  return new Elect(words, options);
}

/** `elect`, while it runs. */
export class Elect implements AsyncDisposable {
  readonly ended: Promise<Result>;
  readonly #process: ChildProcess;
  #out = "";
  #err = "";
  #news: PromiseWithResolvers<void> = Promise.withResolvers<void>();

  constructor(words: readonly string[], { env, cwd }: ElectOptions) {
    const [node = "", ...own] = commandWords();
    this.#process = spawn(node, [...own, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
      // pnpm's way to start vitest lets packages find what they never asked for.
      env: { ...process.env, NODE_PATH: undefined, ELECT_URL: undefined, ...env },
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.#process.stdout?.on("data", (chunk) => this.#hear(() => (this.#out += String(chunk))));
    this.#process.stderr?.on("data", (chunk) => this.#hear(() => (this.#err += String(chunk))));
    this.ended = new Promise((settle) => {
      this.#process.once("close", (code, signal) => settle({ code, signal, out: this.#out, err: this.#err }));
    });
    void this.ended.then(() => this.#hear(() => {}));
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error("elect was not started");
    return this.#process.pid;
  }

  get out(): string {
    return this.#out;
  }

  get err(): string {
    return this.#err;
  }

  stopReading(): void {
    this.#process.stdout?.destroy();
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** The process that holds the session. */
  get holder(): number {
    const holder = processes().find(
      ({ parent, words }) => parent === this.pid && /holder\.[jt]s/.test(words),
    );
    if (holder === undefined) throw new Error("there is no holder");
    return holder.pid;
  }

  /** Settles when `pattern` was printed, so many times. */
  async printed(pattern: RegExp, times = 1): Promise<void> {
    const all = new RegExp(pattern, "g");
    const deadline = hostNow() + patience;
    while ([...(this.#out + this.#err).matchAll(all)].length < times) {
      if (this.#process.exitCode !== null || this.#process.signalCode !== null || hostNow() > deadline) {
        throw new Error(
          `elect did not print ${String(pattern)} ${times} times, but:\n${this.#out}${this.#err}`,
        );
      }
      await Promise.race([this.#news.promise, after(1_000)]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGCONT");
    this.#process.kill("SIGTERM");
    const gaveUp = after(patience / 2).then(() => this.#process.kill("SIGKILL"));
    await Promise.race([this.ended, gaveUp]);
  }

  #hear(take: () => void): void {
    take();
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }
}

export class Scratch implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "elect-cli-test-"));

  /** `fixtures/beat.ts` without its types: so many are started that stripping them each time would be felt. */
  get beatProgram(): string {
    const path = this.file("beat.mjs");
    const source = resolve(import.meta.dirname, "fixtures/beat.ts");
    if (!existsSync(path)) writeFileSync(path, stripTypeScriptTypes(readFileSync(source, "utf8")));
    return path;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export interface Beat {
  readonly role: string;
  readonly pid: number;
  readonly at: number;
}

/** What `beat.ts` has written. */
export function beats(path: string): Beat[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [role = "", pid, at] = line.split(" ");
      return { role, pid: Number(pid), at: Number(at) };
    });
}

interface Running {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly words: string;
}

export function processes(): Running[] {
  return readdirSync("/proc").flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${Number(name)}/stat`, "utf8");
      const [state = "", parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const words = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
      return [{ pid: Number(name), parent: Number(parent), state, words }];
    } catch {
      return [];
    }
  });
}

export function isRunning(pid: number): boolean {
  return processes().some((one) => one.pid === pid && one.state !== "Z");
}

/** Settles when the condition holds, which nobody tells us of. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = hostNow() + patience;
  while (!condition()) {
    if (hostNow() > deadline) throw new Error(`still not so: ${what}`);
    await after(5);
  }
}

/** Does not keep the process alive. */
function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

/** Runs `work` for 0 … count-1, so many at a time. */
export async function inParallel(
  count: number,
  width: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, lane));
}

function isBuilt(): boolean {
  return ["cli", "core", "sqlite"].every((name) => {
    const [src = "", dist = ""] = ["src", "dist"].map((part) =>
      resolve(import.meta.dirname, "../..", name, part),
    );
    if (!existsSync(dist)) return false;
    return Math.max(...times(src, ".ts")) < Math.min(...times(dist, ".js"));
  });
}

function times(folder: string, extension: string): number[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(extension))
    .map((file) => statSync(join(folder, file)).mtimeMs);
}
