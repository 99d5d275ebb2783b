/** The candidates of the demo, seen from the demo: its children. */

import { fork, type ChildProcess } from "node:child_process";
import { programPath, resolutionOptions } from "../program-path.ts";
import type { Order, Report } from "./messages.ts";
import type { Row } from "./screen.ts";

const program = new URL("./candidate.ts", import.meta.url);

export interface Stage {
  readonly url: string;
  readonly election: string;
  readonly ttl: number;
  /** Removed by the candidates when the demo is no more. */
  readonly directory: string | null;
}

export class Player {
  readonly id: string;
  readonly #process: ChildProcess;
  /** Settles when the process has ended. */
  readonly exited: Promise<void>;
  state: Row["state"] = "starting";
  token: bigint | null = null;
  since: number | null = null;

  constructor(id: string, stage: Stage, hear: (player: Player, report: Report) => void) {
    this.id = id;
    this.#process = fork(programPath(program), [JSON.stringify({ ...stage, id })], {
      execArgv: resolutionOptions(),
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#process.on("message", (report: Report) => hear(this, report));
    this.exited = new Promise((resolve) => {
      this.#process.once("exit", () => resolve());
      this.#process.once("error", () => resolve());
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  tell(kind: Order["kind"]): void {
    if (this.#process.connected) this.#process.send({ kind }, () => {});
  }

  leads(token: bigint, since: number): void {
    this.state = "leading";
    this.token = token;
    this.since = since;
  }

  waits(): void {
    this.state = "waiting";
    this.token = null;
    this.since = null;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
    this.state = "killed";
    this.since = null;
  }
}
