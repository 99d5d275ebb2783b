// A process of candidates (crowd.ts), from outside.
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { CrowdOptions, CrowdReport } from "./crowd.ts";
import { until } from "./patience.ts";

const source = fileURLToPath(new URL("./crowd.ts", import.meta.url));
const built = fileURLToPath(new URL("../dist/crowd.js", import.meta.url));

export class Crowd implements AsyncDisposable {
  /** The instants, on the host's clock, at which it was elected in one election after the other. */
  readonly elected: number[] = [];
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;

  constructor(options: CrowdOptions) {
    const [program, execArgv] = options.built ? [built, []] : [source, ["--conditions=@elect/source"]];
    this.#process = fork(program, [JSON.stringify(options)], { execArgv });
    this.#exited = new Promise((resolve) => this.#process.once("exit", () => resolve()));
    this.#process.on("message", (report: CrowdReport) => this.elected.push(...report));
  }

  async leads(elections: number): Promise<void> {
    await until(
      () => `leads ${this.elected.length} of ${elections} elections only`,
      () => (this.elected.length >= elections ? true : undefined),
      20,
    );
  }

  /** It gives everything back, and ends. */
  async leave(): Promise<void> {
    this.#process.disconnect();
    await this.#exited;
  }

  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
