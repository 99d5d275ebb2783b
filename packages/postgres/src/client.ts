/**
 * One connection to the server: a `pg.Client` of our own, one statement at a time, destroyed when a call's time is up.
 *
 * What must stay true: the client has an `error` listener for its whole life (without one, an error ends the process,
 * and it comes twice); no statement is sent on a connection that was given up; a statement whose call is over is not
 * awaited, and the socket that may still carry it is destroyed, because pg's own time-outs leave it running.
 */

import type { Call } from "@elect/core/adapter";

import {
  asText,
  clientOf,
  type ConnectionSettings,
  type Driver,
  type Result,
  type Row,
  type Statement,
  type Value,
} from "./driver.ts";

/**
 * Whose plan: one that the server keeps, because a handful of elections is concerned and making it takes longer than running
 * it; or one that is made for the number of elections at hand. Where it does not matter, nothing is said.
 */
export type Plan = "kept" | "made";

/** The server's settings for each. A plan that is kept is made while tables are small: reading a whole one must not look cheap then. */
export const planSettings: Readonly<Record<Plan, Readonly<Record<string, string>>>> = {
  kept: { plan_cache_mode: "force_generic_plan", enable_seqscan: "off" },
  made: { plan_cache_mode: "force_custom_plan", enable_seqscan: "on" },
};

export interface LinkEvents {
  notified?(channel: string, payload: string): void;
  /**
   * The connection is over and was not ended by {@link Link.end}. `who`: the other side or the network, or we ourselves,
   * because a call's time was up; then this is said before the other side can know.
   */
  lost?(cause: unknown, who: "they" | "we"): void;
}

export class Link {
  readonly #client: Driver;
  readonly #events: LinkEvents;
  /** Why no statement may be sent any more. */
  #over: { readonly cause: unknown } | null = null;
  readonly #warnings: string[] = [];
  readonly #names = new Map<string, string>();
  #plan: Plan = "kept";
  #last: Promise<unknown> = Promise.resolve();

  private constructor(client: Driver, events: LinkEvents) {
    this.#client = client;
    this.#events = events;
    // Twice: the server's own last words, then "terminated unexpectedly". The first says more.
    client.on("error", (error) => this.#lose(error, "they"));
    client.on("end", () => this.#lose(new Error("the server closed the connection"), "they"));
    // Nothing below a warning is sent to us. The one that matters: a cancelled wait for a standby is a commit that
    // may be lost in a fail-over, and no error.
    client.on("notice", ({ message }) => this.#warnings.push(message ?? "something"));
    client.on("notification", ({ channel, payload }) => {
      if (this.#over === null) events.notified?.(channel, payload ?? "");
    });
  }

  static async connect(settings: ConnectionSettings, call: Call, events: LinkEvents = {}): Promise<Link> {
    call.signal.throwIfAborted();
    const client = clientOf(settings, Math.ceil(call.timeoutMs));
    const link = new Link(client, events);
    await link.#within(call.signal, async () => client.connect());
    return link;
  }

  /** Whether statements can still be sent, as far as we know. */
  get open(): boolean {
    return this.#over === null;
  }

  /** The server's process as it was announced: another one than `pg_backend_pid()` says means that a pooler is between. */
  get announced(): number | null {
    return this.#client.processID;
  }

  /** Sends a statement (or several, without values) when those before it are answered. Rejects at once when `signal` aborts. */
  async query(
    text: string,
    values: readonly Value[],
    signal: AbortSignal,
    plan: Plan | null = null,
  ): Promise<readonly Row[]> {
    const [rows = []] = await this.series(text, [values], signal, plan);
    return rows;
  }

  /**
   * The same statement with one list of values after the other. Each follows in the breath in which the one before is answered,
   * so that the server is at the next one while `hear` goes through that answer. None follows an error. (pg has a queue that does
   * the same, and deprecates it.)
   */
  async series(
    text: string,
    each: readonly (readonly Value[])[],
    signal: AbortSignal,
    plan: Plan | null = null,
    hear: (rows: readonly Row[], nth: number) => void = () => {},
  ): Promise<(readonly Row[])[]> {
    const before = this.#last;
    const { promise: done, resolve } = Promise.withResolvers<void>();
    this.#last = done;
    const left: Statement[] = [];
    const sent: Promise<readonly Row[]>[] = [];
    const send = (): void => {
      const statement = left.shift();
      if (statement !== undefined) sent.push(this.#send(statement, signal, send));
    };
    try {
      // Before our turn there is nothing of ours on the wire: giving up destroys nothing.
      await unlessAborted(before, signal);
      if (plan !== null && plan !== this.#plan) {
        const wanted = Object.entries(planSettings[plan]).map(([name, value]) => `set ${name} = ${value}`);
        await this.#send({ text: wanted.join("; "), values: [] }, signal);
        this.#plan = plan;
      }
      const name = plan !== null && { name: this.#nameOf(text) };
      for (const values of each) {
        left.push({ text, values: values.map(asText), ...name });
        // The others are written while the server reads the first.
        if (sent.length === 0) send();
      }
      const answers: (readonly Row[])[] = [];
      for (const answer of sent) {
        const rows = await answer;
        hear(rows, answers.push(rows) - 1);
      }
      return answers;
    } finally {
      left.length = 0;
      void Promise.allSettled([before, ...sent]).then(() => resolve());
    }
  }

  /** Says goodbye and waits for the server to hang up; past the call's time it is not asked. */
  async end(call: Call): Promise<void> {
    this.#over ??= { cause: new Error("the connection was closed") };
    try {
      await unlessAborted(this.#client.end(), call.signal);
    } finally {
      this.destroy(this.#over.cause);
    }
  }

  /** Hangs up, without a word. */
  destroy(cause: unknown): void {
    this.#lose(cause, "we");
    this.#client.connection.stream.destroy();
  }

  async #send(
    statement: Statement,
    signal: AbortSignal,
    next: () => void = () => {},
  ): Promise<readonly Row[]> {
    if (this.#over !== null) throw new Error("The connection is gone.", { cause: this.#over.cause });
    this.#warnings.length = 0;
    const { promise: answer, resolve, reject } = Promise.withResolvers<Result | Result[]>();
    const results = await this.#within(signal, async () => {
      this.#client.query(statement, (error, found) => {
        const [warning] = this.#warnings;
        if (error !== null) return reject(error);
        if (warning !== undefined) return reject(new Error(`The server warned: ${warning}`));
        next();
        resolve(found);
      });
      return answer;
    });
    return [results].flat().at(-1)?.rows ?? [];
  }

  async #within<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const giveUp = (): void => this.destroy(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      return await unlessAborted(work(), signal);
    } catch (error) {
      if (isConnectionError(error)) this.destroy(error);
      throw error;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  #nameOf(text: string): string {
    const name = this.#names.get(text) ?? `elect_${this.#names.size}`;
    this.#names.set(text, name);
    return name;
  }

  #lose(cause: unknown, who: "they" | "we"): void {
    if (this.#over !== null) return;
    this.#over = { cause };
    this.#events.lost?.(cause, who);
    if (who === "they") this.#client.connection.stream.destroy();
  }
}

/** An error of the server has a code; whatever else goes wrong leaves the connection in an unknown state. */
function isConnectionError(error: unknown): boolean {
  return !(error instanceof Error && "severity" in error && error.severity !== "FATAL");
}

/** `work`, or the signal's reason as soon as it aborts. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void =>
    reject(signal.reason instanceof Error ? signal.reason : new Error("aborted", { cause: signal.reason }));
  work.catch(() => {});
  aborted.catch(() => {});
  signal.addEventListener("abort", abort, { once: true });
  try {
    if (signal.aborted) abort();
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
