/** What `postgres()` takes, by object or by URL, checked and brought into one shape. */

import { InvalidOptionError } from "@elect/core/adapter";

import { nameOf, type ConnectionSettings } from "./driver.ts";

export interface PostgresOptions {
  /**
   * `postgres://[user[:password]@]host[:port]/database`, one server; a Unix socket as `postgres:///database?host=/run`.
   * `schema` and `takeover` may be part of the query. What is missing comes from the `PG*` environment variables.
   */
  readonly url?: string;
  /** Instead of a URL: what `new pg.Client(…)` takes. A `password` function is asked anew for each connection. */
  readonly connection?: ConnectionSettings;
  /** Your own `pg.Client`. Its configuration is copied; the client itself is not touched. */
  readonly client?: ForeignClient;
  /** Your own `pg.Pool`. Its configuration is copied; its connections are not touched. */
  readonly pool?: ForeignPool;
  /** The schema of Elect's tables. Candidates meet in one schema of one database. @default "elect" */
  readonly schema?: string;
  /**
   * When a leader that went without a word may be replaced:
   * - `"lease"`: when its lease has run out by the server's clock *and* its connection is gone;
   * - `"connection"`: as soon as its connection is gone. A crash is then followed by a new leader within milliseconds,
   *   and a reset connection costs the leadership, of which the old leader may learn late: promise 1 rests on
   *   connections that end only with their process. It is the leader's own choice that counts.
   * @default "lease"
   */
  readonly takeover?: Takeover;
}

export type Takeover = "lease" | "connection";

/** The parts of a `pg.Client` that are looked at. */
export interface ForeignClient {
  readonly host: string;
  readonly port: number;
}

/** The parts of a `pg.Pool` that are looked at. */
export interface ForeignPool {
  readonly options: object;
}

/** What the adapter works with. */
export interface Settings {
  readonly connection: ConnectionSettings;
  readonly schema: string;
  readonly takeover: Takeover;
  /** A URL without credentials. */
  readonly address: string;
}

const ours = new Set(["schema", "takeover"]);
/** What pg-connection-string understands. */
const drivers = new Set(
  `host port user password dbname database application_name fallback_application_name options client_encoding
  ssl sslmode sslcert sslkey sslrootcert sslnegotiation uselibpqcompat`.split(/\s+/),
);
/** PostgreSQL cuts longer identifiers, silently. */
const longestIdentifier = 63;

export function settle(given: PostgresOptions | string): Settings {
  const options = typeof given === "string" ? { url: given } : given;
  const sources = [options.url, options.connection, options.client, options.pool];
  if (sources.filter((source) => source !== undefined).length > 1) {
    throw new InvalidOptionError(
      "url",
      "PostgreSQL: give one of url, connection, client and pool, not several.",
    );
  }
  const { connection, ...fromQuery } = whereTo(options);
  const { schema = "elect", takeover = "lease" }: { schema?: string; takeover?: string } = {
    ...options,
    ...fromQuery,
  };
  if (
    schema === "" ||
    Buffer.byteLength(schema) > longestIdentifier ||
    !schema.isWellFormed() ||
    schema.includes("\0")
  ) {
    throw new InvalidOptionError(
      "schema",
      `PostgreSQL: schema ${JSON.stringify(schema)} must have 1 to 63 bytes of UTF-8.`,
    );
  }
  if (!isTakeover(takeover)) {
    throw new InvalidOptionError(
      "takeover",
      `PostgreSQL: takeover is ${JSON.stringify(takeover)}; it must be "lease" or "connection".`,
    );
  }
  const query = schema === "elect" ? "" : `?schema=${encodeURIComponent(schema)}`;
  return { connection, schema, takeover, address: `${nameOf(connection)}${query}` };
}

function isTakeover(value: string): value is Takeover {
  return value === "lease" || value === "connection";
}

interface Whereabouts {
  readonly connection: ConnectionSettings;
  readonly schema?: string;
  readonly takeover?: string;
}

function whereTo({ url, connection, client, pool }: PostgresOptions): Whereabouts {
  if (url !== undefined) return fromUrlText(url);
  if (client !== undefined) return { connection: likeClient(client) };
  if (pool !== undefined) return { connection: likePool(pool) };
  return { connection: connection ?? {} };
}

/** Messages never quote the URL: it may hold a password. */
function fromUrlText(text: string): Whereabouts {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidOptionError(
      "url",
      'PostgreSQL: the URL cannot be read; write "postgres://user:password@host:5432/database", with one host, and ' +
        "percent-encode what is special in the password.",
    );
  }
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") {
    throw new InvalidOptionError(
      "url",
      `PostgreSQL: the URL begins with "${url.protocol}" and not with "postgres:".`,
    );
  }
  if (url.hostname.includes(",")) {
    throw new InvalidOptionError(
      "url",
      "PostgreSQL: the URL names several hosts. Name one: an address that always leads to the primary.",
    );
  }
  for (const name of url.searchParams.keys()) {
    if (ours.has(name) || drivers.has(name)) continue;
    throw new InvalidOptionError(
      name,
      `PostgreSQL: the URL has the unknown parameter "${name}"; known are ${[...ours, ...drivers].join(", ")}.`,
    );
  }
  const schema = url.searchParams.get("schema");
  const takeover = url.searchParams.get("takeover");
  for (const name of ours) url.searchParams.delete(name);
  return {
    connection: { connectionString: url.href },
    ...(schema !== null && { schema }),
    ...(takeover !== null && { takeover }),
  };
}

/** A client keeps what it was configured with; the password is hidden from enumeration, so it is asked for by name. */
function likeClient(client: ForeignClient): ConnectionSettings {
  const { connectionParameters: found } = client as { connectionParameters?: ConnectionSettings };
  if (typeof found !== "object") {
    throw new InvalidOptionError("client", "PostgreSQL: client must be a client of pg (new pg.Client(…)).");
  }
  return chosen(found);
}

function likePool(pool: ForeignPool): ConnectionSettings {
  const options: unknown = pool.options;
  if (typeof options !== "object" || options === null) {
    throw new InvalidOptionError("pool", "PostgreSQL: pool must be a pool of pg (new pg.Pool(…)).");
  }
  return chosen(options);
}

function chosen(from: ConnectionSettings): ConnectionSettings {
  const { connectionString, host, port, user, database, password, ssl, sslnegotiation, options } = from;
  const { application_name, enableChannelBinding } = from;
  const all = { connectionString, host, port, user, database, password, ssl, sslnegotiation, options };
  const given: [string, unknown][] = Object.entries({ ...all, application_name, enableChannelBinding });
  return Object.fromEntries(given.filter(([, value]) => value !== undefined && value !== null));
}
