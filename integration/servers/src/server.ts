import { setTimeout as sleep } from "node:timers/promises";
import type { StartedTestContainer } from "testcontainers";
import type { Probe } from "./answers.ts";
import { urlVariable, type ServerKind } from "./engine.ts";
import { containerRuntime, logsOf, type Container } from "./runtime.ts";

/** A running server, and what can be done to it. */
export interface Server extends AsyncDisposable {
  /** Where it is, before and after a restart. */
  readonly url: string;
  readonly port: number;
  /** False for a server that the user pointed to: it is used, and otherwise left alone. */
  readonly owned: boolean;
  /** Kills it if it runs, by default without a chance to say goodbye. It stays down, and its disk is kept. */
  kill(signal?: "SIGKILL" | "SIGTERM" | "SIGINT"): Promise<void>;
  /** Kills it if it runs, starts it, and waits until it answers at the same URL. */
  restart(): Promise<void>;
  /** Freezes all its processes: connections stay, nothing answers. */
  pause(): Promise<void>;
  unpause(): Promise<void>;
  /** Runs a command in its container; rejects when that fails. */
  exec(...command: string[]): Promise<string>;
  logs(): Promise<string>;
  /** Removes it and its disk. */
  stop(): Promise<void>;
  /** What Testcontainers knows about it. Throws for a server that is not owned. */
  readonly container: StartedTestContainer;
}

/** How long a server may take to answer after its start, on a busy machine. */
const patienceMs = 60_000;

export class ContainerServer implements Server {
  readonly url: string;
  readonly port: number;
  readonly container: StartedTestContainer;
  readonly owned = true;
  readonly #answers: Probe;

  constructor(url: string, port: number, container: StartedTestContainer, answers: Probe) {
    this.url = url;
    this.port = port;
    this.container = container;
    this.#answers = answers;
  }

  async kill(signal: "SIGKILL" | "SIGTERM" | "SIGINT" = "SIGKILL"): Promise<void> {
    const engine = await this.#engine();
    if (!(await engine.inspect()).State.Running) return;
    await engine.kill({ signal });
    await engine.wait();
  }

  async restart(): Promise<void> {
    await this.kill();
    await (await this.#engine()).start();
    await this.untilItAnswers();
  }

  /** A process that is just being forked or ended cannot always be frozen; the engine says so, and is asked again. */
  async pause(): Promise<void> {
    const engine = await this.#engine();
    for (let tries = 1; ; tries += 1) {
      try {
        await engine.pause();
        return;
      } catch (error) {
        if (tries === 10 || !String(error).includes("unable to freeze")) throw error;
        await sleep(100);
      }
    }
  }

  async unpause(): Promise<void> {
    await (await this.#engine()).unpause();
  }

  async exec(...command: string[]): Promise<string> {
    const { exitCode, output } = await this.container.exec(command);
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}: ${output}`);
    return output;
  }

  async logs(): Promise<string> {
    return logsOf(await this.#engine());
  }

  async stop(): Promise<void> {
    await this.container.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Rejects as soon as the server has given up, with its last words. */
  async untilItAnswers(): Promise<void> {
    const engine = await this.#engine();
    const until = performance.now() + patienceMs;
    for (let tries = 1; !(await this.#answers(this.port)); tries += 1) {
      const gone = tries % 10 === 0 && !(await engine.inspect()).State.Running;
      if (gone || performance.now() > until) {
        const what = gone ? "ended instead of serving" : `does not answer after ${patienceMs / 1000} s`;
        throw complaint(this.url, what, await this.logs());
      }
      await sleep(20);
    }
  }

  async #engine(): Promise<Container> {
    return (await containerRuntime()).container.getById(this.container.getId());
  }
}

/** Of a server that does not serve; its last words say why. */
export function complaint(url: string, what: string, logs: string): Error {
  return new Error(`${url.replace(/:[^:/@]*@/, ":…@")} ${what}\n${logs.slice(-3000)}`);
}

/** A server that the user runs: tests may use it, and must not harm it. */
export class ForeignServer implements Server {
  readonly url: string;
  readonly owned = false;
  readonly #kind: ServerKind;

  constructor(kind: ServerKind, url: string) {
    this.#kind = kind;
    this.url = url;
  }

  get port(): number {
    return Number(/:(\d+)(?:[/,?]|$)/.exec(this.url.replace(/^.*[/@]{2}(?:.*@)?/, ""))?.[1] ?? Number.NaN);
  }

  get container(): StartedTestContainer {
    throw this.#hands("has no container");
  }

  async kill(): Promise<void> {
    throw this.#hands("cannot be killed");
  }

  async restart(): Promise<void> {
    throw this.#hands("cannot be restarted");
  }

  async pause(): Promise<void> {
    throw this.#hands("cannot be paused");
  }

  async unpause(): Promise<void> {
    throw this.#hands("cannot be unpaused");
  }

  async exec(): Promise<string> {
    throw this.#hands("runs no command for us");
  }

  async logs(): Promise<string> {
    return "";
  }

  async stop(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  #hands(what: string): Error {
    const variable = urlVariable(this.#kind);
    return new Error(
      `The server that ${variable} names is not ours and ${what}. Unset ${variable} to use a container.`,
    );
  }
}
