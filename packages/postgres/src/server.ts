/**
 * What is made sure of on every new connection, before anything is trusted to it: a primary that takes writes, no
 * pooler that swaps connections, the store we think it is; and settings that an administrator may have made
 * for other kinds of clients, overridden for this session.
 */

import { RefusedError, type Call } from "@elect/core/adapter";

import { Link, planSettings, type LinkEvents } from "./client.ts";
import type { Row } from "./driver.ts";
import { pooler, refusalIn, standby } from "./errors.ts";
import type { Settings } from "./options.ts";

/** What is known of the server behind a connection. */
export interface Server {
  /** Cluster, database and schema: where one token follows the other. */
  readonly store: string;
  readonly warnings: readonly string[];
}

/** What a connection is for: it decides how long the server puts up with its silence. */
export type Purpose =
  /** Carries the life lock: the server ends it after `ttlMs` without a statement. */
  | { readonly kind: "life"; readonly ttlMs: number }
  /** Waits for another process's life lock, or answers questions now and then. */
  | { readonly kind: "idle"; readonly ttlMs: number };

const oldest = 120_000;
/** Before it, nothing but TCP tells the server that a stopped process holds a lock. */
const idleTimeoutSince = 140_000;
/** Tokens are (timeline, counter) in 63 bits, 42 of them for the counter. */
const highestTimeline = 2 ** 21 - 1;

/**
 * The timeline rises with every promotion. It is constant for as long as the connection lives, so the session keeps it, and
 * `elect.timeline` is a fact about the very server that runs a statement. (`pg_control_checkpoint()` lags a promotion.)
 */
const lookAround = `
select current_setting('server_version_num') as version,
       pg_is_in_recovery()::text as recovering,
       current_setting('transaction_read_only') as read_only,
       pg_backend_pid()::text as pid,
       current_database()::text as database,
       (select system_identifier::text from pg_control_system()) as cluster,
       case when pg_is_in_recovery() then null
            else set_config('elect.timeline',
              ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint::text, false) end as timeline,
       current_setting('fsync') as fsync,
       (current_setting('synchronous_standby_names') = '' and exists (select from pg_stat_replication))::text as asynchronous,
       (select count(set_config(wanted.name, wanted.value, false))::text
          from unnest($1::text[], $2::text[]) as wanted (name, value)
          join pg_settings known on known.name = wanted.name
         where not (wanted.name = 'synchronous_commit' and known.setting = 'remote_apply')
           and not (wanted.name = 'client_connection_check_interval' and version() ~ 'Visual C|mingw')) as settled`;

function settingsFor({ kind, ttlMs }: Purpose): Record<string, string> {
  const third = Math.max(1, Math.round(ttlMs / 3_000));
  return {
    // A name means what we mean, whatever somebody put into a schema that is searched first.
    search_path: "pg_catalog",
    default_transaction_isolation: "read committed",
    default_transaction_deferrable: "off",
    // An acknowledged proof or token survives a crash of the server.
    synchronous_commit: "on",
    statement_timeout: kind === "life" ? `${ttlMs}` : "0",
    // Nobody's open transaction keeps a proof waiting for long.
    lock_timeout: kind === "life" ? `${Math.ceil(ttlMs / 8)}` : "0",
    idle_in_transaction_session_timeout: "0",
    transaction_timeout: "0",
    // The server's own lease on the connection that carries the life lock.
    idle_session_timeout: kind === "life" ? `${ttlMs}` : "0",
    // A client that vanished without a word: noticed while idle, with bytes under way, and inside a statement (also a wait for
    // a neighbour's lock that nobody wants any more).
    tcp_keepalives_idle: `${third}`,
    tcp_keepalives_interval: `${third}`,
    tcp_keepalives_count: "3",
    tcp_user_timeout: `${ttlMs}`,
    client_connection_check_interval: `${Math.min(1_000, Math.max(100, Math.round(ttlMs / 3)))}`,
    client_min_messages: "warning",
    // The first of a queue is found at the beginning of its index, not by sorting all who wait.
    enable_bitmapscan: "off",
    // Left to itself, the server makes a new plan each time for what is asked most often: see client.ts.
    ...planSettings.kept,
    // Statements over a thousand elections look expensive to the planner; compiling them costs more.
    jit: "off",
  };
}

export interface Connected {
  readonly link: Link;
  readonly server: Server;
}

/** Connects, and refuses what would break the promises. */
export async function connect(
  settings: Settings,
  purpose: Purpose,
  call: Call,
  events: LinkEvents = {},
): Promise<Connected> {
  let link: Link | null = null;
  try {
    link = await Link.connect(settings.connection, call, events);
    const wanted = settingsFor(purpose);
    const [found = {}] = await link.query(
      lookAround,
      [Object.keys(wanted), Object.values(wanted)],
      call.signal,
    );
    const server = judge(found, settings);
    if (String(link.announced) !== found["pid"]) await expectOwnConnection(link, settings, call);
    return { link, server };
  } catch (error) {
    link?.destroy(error);
    throw refusalIn(error, settings.address);
  }
}

/** What the server says of itself; refuses one that cannot keep the promises. */
export function judge(found: Row, { address, schema }: Settings): Server {
  const version = Number(found["version"]);
  if (!(version >= oldest)) {
    throw new RefusedError(
      "version",
      `PostgreSQL at ${address}: the server is older than 12; elect on a newer one.`,
    );
  }
  if (found["recovering"] !== "false") throw standby(address, "the server is a standby");
  if (found["read_only"] !== "off") throw standby(address, "the server is set to read only");
  const timeline = Number(found["timeline"]);
  if (!(timeline >= 1 && timeline <= highestTimeline)) {
    throw new RefusedError(
      "timeline",
      `PostgreSQL at ${address}: the server is on timeline ${found["timeline"]}, which leaves no room for tokens. ` +
        `Start a new cluster from a dump, and raise the "generation" option of every candidate.`,
    );
  }
  const warnings: string[] = [];
  if (version < idleTimeoutSince) {
    warnings.push(
      "The server is older than 14 and cannot end a silent session: a leader that is stopped keeps its place. Upgrade it.",
    );
  }
  if (found["fsync"] === "off") {
    warnings.push(
      "The server runs with fsync = off: after a power failure it may repeat tokens. Switch it on.",
    );
  }
  if (found["asynchronous"] === "true") {
    warnings.push(
      "The server's standbys follow asynchronously: after a fail-over the old leader may still believe in its term while " +
        "a new one is elected. Set synchronous_standby_names, and let guarded writes compare tokens.",
    );
  }
  return { store: `${found["cluster"]}/${found["database"]}/${schema}`, warnings };
}

const whoServes = `
select pg_backend_pid()::text || ' ' || coalesce((select backend_start::text from pg_stat_get_activity(pg_backend_pid())), '') as backend`;

/**
 * Somebody between us and the server makes up process numbers. That is harmless as long as each connection keeps a
 * server process to itself: two of ours, taking turns, must each find the same one again, and never the other's.
 */
async function expectOwnConnection(link: Link, settings: Settings, call: Call): Promise<void> {
  const other = await Link.connect(settings.connection, call);
  try {
    const seen = new Map<Link, string | null>();
    for (let turn = 0; turn < 4; turn++) {
      for (const one of [link, other]) {
        const [row] = await one.query(whoServes, [], call.signal);
        const backend = row?.["backend"] ?? null;
        const before = seen.get(one);
        if (before !== undefined && before !== backend)
          throw pooler(settings.address, "one connection is served by two processes of the server");
        seen.set(one, backend);
      }
      if (seen.get(link) === seen.get(other))
        throw pooler(settings.address, "two connections are served by one process of the server");
    }
  } finally {
    other.destroy(new Error("it has served its purpose"));
  }
}
