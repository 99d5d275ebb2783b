/**
 * One connection to the server: a `pg.Client` of our own, one statement at a time, destroyed when a call's time is up.
 *
 * What must stay true: the client has an `error` listener for its whole life (without one, an error ends the process,
 * and it comes twice); no statement is sent on a connection that was given up; a statement whose call is over is not
 * awaited, and the socket that may still carry it is destroyed, because pg's own time-outs leave it running.
 */

import type { Call } from "@elect/core/adapter";
import pg from "pg";

/** Passed on to `pg` as they are. */
export interface ConnectionSettings {
  readonly connectionString?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  readonly database?: string | undefined;
  readonly password?: string | (() => string | Promise<string>) | undefined;
  readonly ssl?: boolean | object | undefined;
  readonly sslnegotiation?: "postgres" | "direct" | undefined;
  readonly options?: string | undefined;
  readonly application_name?: string | undefined;
  readonly enableChannelBinding?: boolean | undefined;
}

/** The parts of `pg.Client` that are used. */
interface Driver {
  readonly host: string;
  readonly port: number;
  readonly database?: string | undefined;
  readonly user?: string | undefined;
  /** The process that the server said we talk to, when we connected. A pooler makes it up. */
  readonly processID: number | null;
  readonly connection: { readonly stream: { destroy(error?: Error): unknown } };
  connect(): Promise<unknown>;
  /** Of each statement in the text, if there are several. */
  query(statement: Statement): Promise<Result | Result[]>;
  end(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  on(event: "notice", listener: (notice: { message?: string }) => void): unknown;
  on(event: "notification", listener: (notification: { channel: string; payload?: string }) => void): unknown;
}

interface Result {
  readonly rows: Row[];
}

/** Everything comes and goes as text: type parsers are global in pg, and a `bigint` must not meet somebody's `Number`. */
export type Row = Readonly<Record<string, string | null>>;
export type Value = string | number | boolean | readonly string[];

/**
 * A list as the server reads it. Where a quote and a backslash are all that needs a backslash, JSON's text is the same in other
 * brackets, and made at once; the driver goes through it string by string, and a thousand claims are four lists of a thousand.
 */
function asText(value: Value): Value {
  if (typeof value !== "object") return value;
  const json = JSON.stringify(value);
  return /\\[^"\\]/.test(json) ? value : `{${json.slice(1, -1)}}`;
}

/** A value as part of a text: where several statements go in one message there are no parameters. */
export function literal(value: string): string {
  return pg.escapeLiteral(value);
}

interface Statement {
  readonly text: string;
  readonly values: readonly Value[];
  /** Prepared under this name, at its first use. */
  readonly name?: string;
}

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

/** pg takes 0 for "as in pg.defaults", which are the application's; so we say the longest that a timer can be. */
const never = 2 ** 31 - 1;

/** The driver's types lack `processID`, and know of no parser that looks at the format. */
const PgClient = pg.Client as unknown as new (config: object) => Driver;

function clientOf(connection: ConnectionSettings, connectionTimeoutMillis: number): Driver {
  return new PgClient({
    fallback_application_name: "elect",
    ...connection,
    connectionTimeoutMillis,
    query_timeout: never,
    keepAlive: true,
    // Below a second, Node switches keep-alive on and leaves the idle time at the system's two hours.
    keepAliveInitialDelayMillis: 1_000,
    types: { getTypeParser: () => (value: string | Buffer) => value.toString() },
  });
}

/** Where these settings lead, as a URL without credentials. */
export function nameOf(connection: ConnectionSettings): string {
  const { host, port, database = "" } = clientOf(connection, 0);
  if (host.startsWith("/")) return `postgres:///${database}?host=${host}`;
  return `postgres://${host.includes(":") ? `[${host}]` : host}:${port}/${encodeURIComponent(database)}`;
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
    const before = this.#last;
    const { promise: done, resolve } = Promise.withResolvers<void>();
    this.#last = done;
    try {
      // Before our turn there is nothing of ours on the wire: giving up destroys nothing.
      await unlessAborted(before, signal);
      if (plan !== null && plan !== this.#plan) {
        const wanted = Object.entries(planSettings[plan]).map(([name, value]) => `set ${name} = ${value}`);
        await this.#send({ text: wanted.join("; "), values: [] }, signal);
        this.#plan = plan;
      }
      const statement = { text, values: values.map(asText) };
      return await this.#send({ ...statement, ...(plan !== null && { name: this.#nameOf(text) }) }, signal);
    } finally {
      void before.then(() => resolve());
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

  async #send(statement: Statement, signal: AbortSignal): Promise<readonly Row[]> {
    if (this.#over !== null) throw new Error("The connection is gone.", { cause: this.#over.cause });
    this.#warnings.length = 0;
    const results = await this.#within(signal, async () => this.#client.query(statement));
    const [warning] = this.#warnings;
    if (warning !== undefined) {
      const cause = new Error(`The server warned: ${warning}`);
      this.destroy(cause);
      throw cause;
    }
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
