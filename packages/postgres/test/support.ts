/** What the tests of this package share: a server, a schema of their own, calls, and a second pair of eyes. */

import { randomBytes } from "node:crypto";
import { setTimeout as pass } from "node:timers/promises";
import type { Claim, ClaimAnswer, ClaimRequest, OpenRequest, Session } from "@elect/core/adapter";
import { openFaultProxy, type FaultProxy } from "@elect/testing";
import pg from "pg";
import { onTestFinished } from "vitest";
import {
  startPostgres,
  type PostgresOptions as ServerOptions,
  type Server,
} from "../../../integration/servers/src/index.ts";
import { postgresRecipe } from "../../../integration/servers/src/postgres.ts";
import { startServer } from "../../../integration/servers/src/start.ts";
import { PostgresAdapter } from "../src/adapter.ts";
import { sqlFor, type Sql } from "../src/sql.ts";
import { call, eventually, Heard, nonce } from "../../../integration/servers/src/port-calls.ts";

export { call, eventually, Heard, nonce };

/** Long, so that a session that nobody proves outlives its test on a slow machine, too; shorter where a lease is to run out. */
export const ttl = 10_000;

/** The server that all tests of a file share; nobody stops it but the run's end. */
export async function sharedServer(): Promise<Server> {
  return startPostgres();
}

/** A server that may be killed, restarted and paused, whatever the environment points to. */
export async function ownServer(options: ServerOptions = {}): Promise<Server> {
  const server = await startServer(await postgresRecipe(options));
  onTestFinished(() => server.stop());
  return server;
}

export const freshSchema = (): string => `test_${randomBytes(6).toString("hex")}`;

/** One candidate process, as the store sees it. */
export interface Process {
  readonly session: Session;
  readonly heard: Heard;
  readonly adapter: PostgresAdapter;
}

/** The store of one test: a schema, who takes part, and an administrator's connection. */
export class Store {
  readonly url: string;
  readonly schema: string;
  readonly sql: Sql;
  readonly admin: pg.Client;

  private constructor(url: string, schema: string, admin: pg.Client) {
    this.url = url;
    this.schema = schema;
    this.sql = sqlFor(schema);
    this.admin = admin;
  }

  static async on(serverUrl: string, schema: string = freshSchema()): Promise<Store> {
    const admin = await client(serverUrl);
    onTestFinished(async () => {
      await admin.query(`drop schema if exists "${schema}" cascade`).catch(() => {});
    });
    return new Store(`${serverUrl}?schema=${schema}`, schema, admin);
  }

  adapter(options: { takeover?: "connection"; url?: string } = {}): PostgresAdapter {
    const { takeover, url = this.url } = options;
    const adapter = new PostgresAdapter(url + (takeover === undefined ? "" : `&takeover=${takeover}`));
    onTestFinished(() => adapter.close(call()).catch(() => {}));
    return adapter;
  }

  async open(options: { ttlMs?: number; takeover?: "connection"; url?: string } = {}): Promise<Process> {
    const { ttlMs = ttl, ...how } = options;
    const adapter = this.adapter(how);
    const heard = new Heard();
    const request: OpenRequest = { ttlMs, nonce: nonce(), events: heard };
    const session = await adapter.open(request, call());
    onTestFinished(() => session.abandon());
    return { session, heard, adapter };
  }

  /** A URL to the store through a proxy. */
  async through(): Promise<{ proxy: FaultProxy; url: string }> {
    const { hostname, port } = new URL(this.url);
    const proxy = await openFaultProxy({ host: hostname, port: Number(port) });
    onTestFinished(() => proxy.close());
    const url = new URL(this.url);
    url.host = `127.0.0.1:${proxy.port}`;
    return { proxy, url: url.href };
  }

  async rows<T extends object>(text: string, values: unknown[] = []): Promise<T[]> {
    return (await this.admin.query<T>(text.replaceAll("$schema", `"${this.schema}"`), values)).rows;
  }

  async row<T extends object>(text: string, values: unknown[] = []): Promise<T> {
    const [row] = await this.rows<T>(text, values);
    if (row === undefined) throw new Error(`no row: ${text}`);
    return row;
  }

  /** What the statement of a claim says, asked on a connection that is not the session's own, where it can grant nothing. */
  async claimRow(
    session: Session,
    { election, nonce, candidate }: ClaimRequest,
  ): Promise<pg.QueryResult<Record<string, string | null>>> {
    await this.admin.query("select set_config('elect.timeline', '1', false)");
    return this.admin.query(this.sql.claim.few, [
      session.id,
      [election],
      [nonce],
      [candidate.id],
      [candidate.metadata],
      1500,
    ]);
  }

  /** The server's process that holds a session's life lock; `null` where nobody does. */
  async lifeHolder(session: Session): Promise<number | null> {
    const [found] = await this.rows<{ pid: number }>(
      `select l.pid from pg_locks l join $schema.session s
           on l.objsubid = 1 and l.classid = ((s.life >> 32) & 4294967295)::oid and l.objid = (s.life & 4294967295)::oid
        where l.locktype = 'advisory' and l.mode = 'ExclusiveLock' and l.granted and s.id = $1`,
      [session.id],
    );
    return found?.pid ?? null;
  }

  async dead(session: Session): Promise<boolean> {
    return (await this.row<{ dead: boolean }>("select dead from $schema.session where id = $1", [session.id]))
      .dead;
  }

  /** Makes the lease of a session run out, as if its time had passed. */
  async expire(session: Session): Promise<void> {
    await this.rows("update $schema.session set lease = clock_timestamp() - interval '1 ms' where id = $1", [
      session.id,
    ]);
  }

  /** Ends the connection that carries a session's life lock, and waits until the lock is free. */
  async terminate(session: Session): Promise<void> {
    const pid = await this.lifeHolder(session);
    await this.rows("select pg_terminate_backend($1, 5000)", [pid]);
  }
}

/** As if the process had gone without a word: nothing of it is connected, and its lease is over. */
export async function crash(at: Store, { session }: Process): Promise<void> {
  await at.terminate(session);
  session.abandon();
  await at.expire(session);
}

/** Until a statement of the schema waits for somebody's lock. */
export async function untilBlocked(at: Store, what: string): Promise<void> {
  await eventually(`${what} waits`, async () => {
    const found = await at.rows(
      `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%"${at.schema}"%' and pid <> pg_backend_pid()`,
    );
    return found.length > 0;
  });
}

export async function within<T>(what: string, work: Promise<T>, ms = 4000): Promise<T> {
  const late = new AbortController();
  try {
    return await Promise.race([
      work,
      pass(ms, undefined, { signal: late.signal }).then(() =>
        Promise.reject(new Error(`not within ${ms} ms: ${what}`)),
      ),
    ]);
  } finally {
    late.abort();
  }
}

export { pass };

export async function client(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

export function bid(election: string, more: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    election,
    nonce: nonce(),
    candidate: { id: `candidate of ${election}`, metadata: "{}" },
    unchanged: null,
    ...more,
  };
}

export async function claim(session: Session, ...requests: ClaimRequest[]): Promise<ClaimAnswer> {
  const [answer] = await session.claim(requests, call());
  if (answer === undefined) throw new Error("no answer");
  return answer;
}

export async function grant(session: Session, request: ClaimRequest): Promise<bigint> {
  const answer = await claim(session, request);
  if (answer.kind !== "granted")
    throw new Error(`not granted: ${JSON.stringify(answer, (_, v) => String(v))}`);
  return answer.token;
}

export function holding(...claims: Claim[]): ReadonlyMap<string, Claim> {
  return new Map(claims.map((one) => [one.nonce, one]));
}
