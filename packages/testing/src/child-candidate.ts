/** Candidates in processes of their own, to stop, stall and kill. */

import { fork, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CandidateOptions, Order, Report } from "./candidate-protocol.ts";
import { readHistory, type HistoryRecord } from "./history.ts";
import { hostNow, within } from "./wait.ts";

/** From source Node strips the types; the published package has the other. */
const program = import.meta.url.endsWith(".ts")
  ? new URL("./candidate-program.ts", import.meta.url)
  : new URL("./candidate-program.js", import.meta.url);

export type StartOptions = Omit<CandidateOptions, "log"> & {
  /** Where the candidate's history goes. @default a new directory below the system's one for temporary files */
  readonly directory?: string;
};

/** How long a new process may take until it campaigns, on a machine that is busy. */
const startLimit = 30_000;

/** Starts a process that campaigns until it is told otherwise. Resolves when it is connected to the store. */
export async function startCandidate(options: StartOptions): Promise<ChildCandidate> {
  const { directory = mkdtempSync(join(tmpdir(), "elect-candidate-")), ...rest } = options;
  const incarnation = `${options.id}-${randomBytes(3).toString("hex")}`;
  const log = join(directory, `${incarnation.replace(/[^\w.-]/g, "_")}.history`);
  // Only what decides how packages are found; not the options of a test runner.
  const execArgv = process.execArgv.filter((argument) => /^(--conditions=|-C=)/.test(argument));
  const child = fork(fileURLToPath(program), [JSON.stringify({ ...rest, log })], {
    execArgv,
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const candidate = new ChildCandidate(child, options.id, incarnation, log);
  await within(startLimit, `candidate ${options.id} starts`, candidate.ready);
  return candidate;
}

export interface ObservedTerm {
  readonly token: bigint;
  /** When the parent heard of it, on the host's clock. */
  readonly heardAt: number;
  lost: string | null;
}

export class ChildCandidate implements AsyncDisposable {
  readonly id: string;
  /** Unique, also where a restarted process has the id of the one before: the `candidate` of its history. */
  readonly incarnation: string;
  readonly pid: number;
  /** The file with what it did. */
  readonly log: string;
  readonly ready: Promise<void>;
  /** Settles with the exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  /** What it said about its terms, in order. */
  readonly terms: ObservedTerm[] = [];
  readonly troubles: string[] = [];
  /** What it wrote to its standard error. */
  stderr = "";
  /** The longest time for which nothing ran in it, in ms, as long as nobody made it stand still on purpose. */
  standstill = 0;
  readonly #child: ChildProcess;
  readonly #listeners = new Set<(report: Report) => void>();
  #gone = false;
  #disturbed = false;

  /** @internal */
  constructor(child: ChildProcess, id: string, incarnation: string, log: string) {
    this.#child = child;
    this.id = id;
    this.incarnation = incarnation;
    this.pid = child.pid ?? 0;
    this.log = log;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.#gone = true;
        resolve(signal ?? code ?? 1);
      });
    });
    child.on("error", () => {});
    child.stderr?.on("data", (text: Buffer) => (this.stderr += text.toString()));
    child.on("message", (message) => this.#hear(message as Report));
    const early = this.exited.then((how) => {
      throw new Error(`candidate ${id} ended (${how}) before it was ready: ${this.stderr}`);
    });
    this.ready = Promise.race([this.#said("ready").then(() => {}), early]);
    this.ready.catch(() => {});
  }

  get alive(): boolean {
    return !this.#gone;
  }

  /** The token of the term that it said it leads; `null` if none. What it says may be history. */
  get leads(): bigint | null {
    const last = this.terms.at(-1);
    return last === undefined || last.lost !== null || this.#gone ? null : last.token;
  }

  /** Resolves with the token of its term that is greater than `after`, once it leads. */
  async elected(after: bigint = 0n): Promise<bigint> {
    for (;;) {
      const leads = this.leads;
      if (leads !== null && leads > after) return leads;
      await this.#said("elected");
    }
  }

  /** Resolves once it said that it lost the term. */
  async lost(token: bigint): Promise<string> {
    for (;;) {
      const reason = this.terms.find((term) => term.token === token)?.lost ?? null;
      if (reason !== null) return reason;
      await this.#said("lost");
    }
  }

  /** SIGSTOP: the process stands still, its connections stay open. */
  stop(): void {
    this.#disturbed = true;
    this.#child.kill("SIGSTOP");
  }

  /** SIGCONT. */
  resume(): void {
    this.#child.kill("SIGCONT");
  }

  /** A signal; SIGKILL unless said otherwise. Resolves when the process is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#child.kill(signal);
    await this.exited;
  }

  /** Blocks its event loop for `ms`; resolves after that. */
  async stall(ms: number): Promise<void> {
    this.#disturbed = true;
    const stalled = this.#said("stalled");
    this.order({ do: "stall", ms });
    await stalled;
  }

  /** Ends its term, if it has one; it campaigns again. */
  resign(): void {
    this.order({ do: "resign" });
  }

  /** Closes election and backend; resolves with what remained, when the process has ended by itself. */
  async close(): Promise<readonly string[]> {
    const closed = this.#said("closed");
    this.order({ do: "close" });
    const report = await Promise.race([closed, this.exited]);
    if (typeof report !== "object")
      throw new Error(`${this.id} ended (${report}) before it was closed: ${this.stderr}`);
    await this.exited;
    return report.remains;
  }

  order(order: Order): void {
    if (this.#child.connected) this.#child.send(order);
  }

  /** What it noted about itself so far. */
  history(): HistoryRecord[] {
    return readHistory(this.incarnation, this.log);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#gone) await this.kill();
  }

  #hear(report: Report): void {
    if (report.said === "elected") this.terms.push({ token: report.token, heardAt: hostNow(), lost: null });
    if (report.said === "lost") {
      const term = this.terms.findLast(({ token }) => token === report.token);
      if (term !== undefined) term.lost = report.reason;
    }
    if (report.said === "trouble") this.troubles.push(report.message);
    if (report.said === "stood-still" && !this.#disturbed)
      this.standstill = Math.max(this.standstill, report.ms);
    for (const listener of [...this.#listeners]) listener(report);
  }

  #said<Said extends Report["said"]>(said: Said): Promise<Extract<Report, { said: Said }>> {
    return new Promise((resolve) => {
      const listener = (report: Report): void => {
        if (report.said !== said) return;
        this.#listeners.delete(listener);
        resolve(report as Extract<Report, { said: Said }>);
      };
      this.#listeners.add(listener);
    });
  }
}
