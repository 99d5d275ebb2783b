/** The driver, `pg`: what is used of it, what it is given, and what it answers. */

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
export interface Driver {
  readonly host: string;
  readonly port: number;
  readonly database?: string | undefined;
  readonly user?: string | undefined;
  /** The process that the server said we talk to, when we connected. A pooler makes it up. */
  readonly processID: number | null;
  readonly connection: { readonly stream: { destroy(error?: Error): unknown } };
  connect(): Promise<unknown>;
  /** Calls back in the same breath in which the answer arrives: with a result for each statement in the text, if there are several. */
  query(statement: Statement, answered: (error: Error | null, results: Result | Result[]) => void): void;
  end(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  on(event: "notice", listener: (notice: { message?: string }) => void): unknown;
  on(event: "notification", listener: (notification: { channel: string; payload?: string }) => void): unknown;
}

export interface Result {
  readonly rows: Row[];
}

/** Everything comes and goes as text: type parsers are global in pg, and a `bigint` must not meet somebody's `Number`. */
export type Row = Readonly<Record<string, string | null>>;
export type Value = string | number | boolean | readonly string[];

/**
 * A list as the server reads it. Where a quote and a backslash are all that needs a backslash, JSON's text is the same in other
 * brackets, and made at once; the driver goes through it string by string, and a thousand claims are four lists of a thousand.
 */
export function asText(value: Value): Value {
  if (typeof value !== "object") return value;
  const json = JSON.stringify(value);
  return /\\[^"\\]/.test(json) ? value : `{${json.slice(1, -1)}}`;
}

/** A value as part of a text: where several statements go in one message there are no parameters. */
export function literal(value: string): string {
  return pg.escapeLiteral(value);
}

export interface Statement {
  readonly text: string;
  readonly values: readonly Value[];
  /** Prepared under this name, at its first use. */
  readonly name?: string;
}

/** pg takes 0 for "as in pg.defaults", which are the application's; so we say the longest that a timer can be. */
const never = 2 ** 31 - 1;

/** The driver's types lack `processID`, and know of no parser that looks at the format. */
const PgClient = pg.Client as unknown as new (config: object) => Driver;

export function clientOf(connection: ConnectionSettings, connectionTimeoutMillis: number): Driver {
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
