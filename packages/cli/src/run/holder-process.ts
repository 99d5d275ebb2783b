/** The holder, seen from the foreground process: its child. */

import { fork, type ChildProcess } from "node:child_process";
import { programPath, resolutionOptions } from "../program-path.ts";
import type { Order, Report } from "./messages.ts";
import { markVariable } from "./processes.ts";

const program = new URL("./holder.ts", import.meta.url);

/** How long it may take to give everything back, in ms: more than the limits of core's `close()`s together. */
const exitLimit = 10_000;

export class Holder {
  /** Settles with how it ended, in words. */
  readonly exited: Promise<string>;
  readonly #process: ChildProcess;
  #limit: NodeJS.Timeout | undefined;

  constructor(hear: (report: Report) => void) {
    this.#process = fork(programPath(program), {
      // Alone in its session: what is sent to the group of the foreground process, by a terminal say, is not for it.
      detached: true,
      execArgv: resolutionOptions(),
      // Without the mark of a run that we may ourselves be part of: whoever kills that run leaves this process to end ours.
      env: { ...process.env, [markVariable]: undefined },
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#process.on("message", (report: Report) => hear(report));
    this.exited = new Promise((resolve) => {
      this.#process.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
      this.#process.once("error", (error) => resolve(error.message));
    });
    void this.exited.then(() => clearTimeout(this.#limit));
  }

  tell(order: Order): void {
    // An error means that it has ended, which `exited` says too.
    if (this.#process.connected) this.#process.send(order, () => {});
  }

  /** It was told to leave. */
  expectExit(): void {
    this.#limit ??= setTimeout(() => this.#process.kill("SIGKILL"), exitLimit);
  }
}
