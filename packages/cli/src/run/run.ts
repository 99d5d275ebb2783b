/**
 * `elect run`: the foreground process. Starts the process that holds leadership (`holder.ts`), starts the command when
 * that is elected, hears the signals, ends the command, and exits as the command did.
 */

import { exitCodes } from "../exit-codes.ts";
import { signalNumber } from "../signals.ts";
import { startCommand, type Command, type CommandLine, type Exit } from "./command.ts";
import { Holder } from "./holder-process.ts";
import type { CandidateOptions, Report, Win } from "./messages.ts";

export interface RunOptions {
  readonly candidate: CandidateOptions;
  readonly line: CommandLine;
  /** Leave when leadership is lost, instead of campaigning again. */
  readonly once: boolean;
  /** Says what happens. */
  readonly note: (text: string) => void;
  /** Says what went wrong. */
  readonly complain: (text: string) => void;
}

/** Settles with the exit code. */
export async function run(options: RunOptions): Promise<number> {
  const foreground = new Foreground(options);
  return foreground.left;
}

const endingSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

class Foreground {
  readonly left: Promise<number>;
  readonly #options: RunOptions;
  readonly #holder: Holder;
  #command: Command | null = null;
  /** Aborts what is to be started and has not been yet. */
  #start = new AbortController();
  /** The signal that told us to end. */
  #told: NodeJS.Signals | null = null;
  /** The exit code, once it is decided that we leave. */
  #code: number | null = null;
  #lastTrouble = "";

  constructor(options: RunOptions) {
    this.#options = options;
    for (const signal of endingSignals) process.on(signal, () => this.#signalled(signal));
    this.#holder = new Holder((report) => void this.#hear(report));
    this.left = this.#holder.exited.then((how) => this.#alone(how));
    this.#campaign();
  }

  #campaign(): void {
    this.#holder.tell({ kind: "campaign", candidate: this.#options.candidate });
  }

  async #hear(report: Report): Promise<void> {
    switch (report.kind) {
      case "elected":
        return this.#run(report.win);
      case "extend":
        this.#command?.extend(report.deadline);
        return this.#holder.tell({ kind: "extended", deadline: report.deadline });
      case "lost":
        if (this.#command !== null) this.#note(`leadership is over (${report.reason}): killing the command`);
        this.#start.abort();
        return this.#command?.kill();
      case "trouble":
        if (report.message !== this.#lastTrouble) this.#complain(`${report.message}; trying again`);
        this.#lastTrouble = report.message;
        return;
      case "failed":
        this.#complain(report.message);
        return this.#leave(report.exitCode);
    }
  }

  async #run(win: Win): Promise<void> {
    this.#lastTrouble = "";
    const { line } = this.#options;
    this.#start = new AbortController();
    if (this.#code !== null) this.#start.abort();
    let command: Command | null;
    try {
      command = await startCommand(line, win, this.#start.signal);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      this.#complain(`cannot start ${line.file}: ${message}`);
      this.#holder.tell({ kind: "ended" });
      return this.#leave(code === "ENOENT" ? exitCodes.notFound : exitCodes.notExecutable);
    }
    if (command === null) {
      this.#holder.tell({ kind: "ended" });
      return this.#lost(win);
    }
    this.#command = command;
    const { leader } = command;
    this.#holder.tell({ kind: "started", leader });
    this.#note(`leads with token ${win.token}; started ${line.file} (pid ${leader.pid})`);
    const exit = await command.ended;
    this.#command = null;
    this.#holder.tell({ kind: "ended" });
    if (command.wasEnded && this.#told === null) return this.#lost(win);
    this.#leave(codeOf(exit));
  }

  /** The command is gone because its term was. */
  #lost({ token }: Win): void {
    if (this.#code !== null) return;
    this.#note(
      `lost the leadership of token ${token}; ${this.#options.once ? "leaving" : "campaigning again"}`,
    );
    if (this.#options.once) this.#leave(exitCodes.lost);
    else this.#campaign();
  }

  #signalled(signal: NodeJS.Signals): void {
    const again = this.#told !== null;
    this.#told ??= signal;
    this.#start.abort();
    if (this.#command === null) return this.#leave(128 + signalNumber(signal));
    if (again) this.#command.kill();
    else this.#command.end();
  }

  #leave(code: number): void {
    this.#code ??= code;
    this.#holder.tell({ kind: "leave" });
    this.#holder.expectExit();
  }

  /** The holder has exited. With a decision, all is well; without one, the command has lost its protection. */
  async #alone(how: string): Promise<number> {
    if (this.#code !== null) return this.#code;
    this.#code = exitCodes.internal;
    this.#start.abort();
    this.#command?.kill();
    this.#complain(`the process that held the leadership has ended (${how}): killing the command`);
    await this.#command?.ended;
    return this.#code;
  }

  #note(what: string): void {
    this.#options.note(`${this.#options.line.election}: ${what}`);
  }

  #complain(what: string): void {
    this.#options.complain(`${this.#options.line.election}: ${what}`);
  }
}

function codeOf({ code, signal }: Exit): number {
  return signal === null ? (code ?? exitCodes.internal) : 128 + signalNumber(signal);
}
