// One process of candidates, from outside: what it says, and what is wrong with how it behaves.
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Footprint } from "./footprint.ts";
import type { Account, CandidatesOptions, Order, Report } from "./outage-reports.ts";

const program = fileURLToPath(new URL("./outage-candidates.ts", import.meta.url));

/** `close()` waits two seconds at most for what it gives back, for the session's end, and for the connections. */
const closeLimitMs = 6_000;
/** A question that is under way when a process closes may take its five seconds. */
const questionMs = 5_000;
/** When nothing is left to do, a process ends: what is left to it is the exit itself. */
const exitLimitMs = 3_000;
/** What a machine with more processes than cores may add to anything. */
export const slackMs = 10_000;
const startLimitMs = 60_000;

/** One process. */
export class Member {
  readonly name: string;
  readonly problems: string[] = [];
  /** For each election, when it was last known to lead it by a proof that was sent, or a claim that was granted, then. */
  readonly leads = new Map<string, number>();
  /** For each election, when it was last shown a leader. */
  readonly sees = new Map<string, number>();
  readonly exited: Promise<void>;
  readonly #process: ChildProcess;
  readonly #listeners = new Set<(report: Report) => void>();
  #closing = false;
  #killed = false;

  constructor(options: CandidatesOptions, news: () => void) {
    this.name = options.name;
    this.#process = fork(program, [JSON.stringify(options)], {
      // Room for new objects of one size: else V8 takes more whenever there was much to do, and keeps it.
      execArgv: ["--conditions=@elect/source", "--expose-gc", "--max-semi-space-size=1"],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.exited = new Promise((resolve) => {
      // Not "exit": what it said last may come after that.
      this.#process.once("close", (code, signal) => {
        if (!this.#killed && !(this.#closing && code === 0)) {
          this.#problem(`ended with ${signal ?? `code ${code}`}`);
        }
        resolve();
      });
    });
    // A library that prints is one more thing that nobody has asked for.
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.#problem(`printed: ${text.trim()}`));
    }
    this.#process.on("message", (report: Report) => {
      if (report.said === "problem") this.#problem(report.what);
      if (report.said === "leads") {
        for (const election of report.elections) {
          this.leads.set(election, Math.max(report.at, this.leads.get(election) ?? 0));
        }
        news();
      }
      if (report.said === "sees") {
        this.sees.set(report.election, report.at);
        news();
      }
      for (const listener of this.#listeners) listener(report);
    });
  }

  async ready(): Promise<void> {
    await this.#heard("ready", startLimitMs);
  }

  async weigh(): Promise<Footprint | undefined> {
    this.#order({ do: "weigh" });
    return (await this.#heard("weight", slackMs))?.weight;
  }

  /** Closes everything in it; settles when the process has ended by itself, or did not. */
  async close(): Promise<Account | undefined> {
    this.#closing = true;
    this.#order({ do: "close" });
    const closed = await this.#heard("closed", closeLimitMs + questionMs + slackMs);
    if (closed === undefined) {
      this.#problem("did not say that it had closed");
      await this.kill();
      return undefined;
    }
    const limit = closeLimitMs + slackMs;
    if (closed.tookMs > limit) this.#problem(`close() took ${closed.tookMs.toFixed(0)} ms`);
    const late = setTimeout(() => {
      this.#problem("closed, and did not end by itself");
      void this.kill();
    }, exitLimitMs + slackMs);
    await this.exited;
    clearTimeout(late);
    return closed.account;
  }

  async kill(): Promise<void> {
    this.#killed = true;
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  #problem(what: string): void {
    this.problems.push(`${this.name}: ${what}`);
  }

  #order(order: Order): void {
    if (this.#process.connected) this.#process.send(order);
  }

  /** Waits for a report; when it does not come, that is a problem, and there is none. */
  async #heard<Said extends Report["said"]>(
    said: Said,
    ms: number,
  ): Promise<Extract<Report, { said: Said }> | undefined> {
    const { promise, resolve } = Promise.withResolvers<Extract<Report, { said: Said }> | undefined>();
    const late = setTimeout(() => {
      this.#problem(`hangs: nothing was heard of "${said}" within ${ms} ms`);
      resolve(undefined);
    }, ms);
    const listener = (report: Report): void => {
      if (report.said === said) resolve(report as Extract<Report, { said: Said }>);
    };
    this.#listeners.add(listener);
    const report = await Promise.race([promise, this.exited.then(() => undefined)]);
    this.#listeners.delete(listener);
    clearTimeout(late);
    return report;
  }
}
