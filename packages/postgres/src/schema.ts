/**
 * Elect's tables, created by whoever comes first. All who come at the same moment wait for one another on a lock, so
 * that none fails; and who may not create tables is told what to ask for.
 */

import { RefusedError, type Call } from "@elect/core/adapter";

import type { Link } from "./client.ts";
import type { Row } from "./driver.ts";
import type { Settings } from "./options.ts";

/** The version of what the tables mean, kept in a comment on one of them. A version that we do not know is left alone. */
const format = "Elect 1";

/** Held while creating: `elect` in ASCII. */
const creationLock = "434789507956";

/** `schema` as an identifier. */
export function quoted(schema: string): string {
  return `"${schema.replaceAll('"', '""')}"`;
}

/** What creates the tables; the README shows it for those who let an administrator do so. */
export function tableDefinitions(schema: string): readonly string[] {
  const s = quoted(schema);
  return [
    `create schema if not exists ${s}`,
    // One process's liveness: its lease by the server's clock, and the key of the advisory lock that its connection holds.
    `create table if not exists ${s}.session (
       id        text collate "C" primary key,
       life      bigint not null,
       timeline  bigint not null,
       ttl_ms    integer not null,
       takeover  text not null,
       lease     timestamptz not null,
       renewals  bigint not null default 0,
       dead      boolean not null default false
     ) with (fillfactor = 50)`,
    // Who leads; vacant where session is null. It counts only while its session is not dead.
    `create table if not exists ${s}.election (
       name      text collate "C" primary key,
       session   text collate "C",
       nonce     text collate "C",
       token     bigint,
       ttl_ms    integer,
       candidate text,
       metadata  text
     ) with (fillfactor = 70)`,
    `create index if not exists election_session on ${s}.election (session) where session is not null`,
    `create index if not exists election_vacant on ${s}.election (name) where session is null`,
    // Who waits, in order of arrival.
    `create table if not exists ${s}.waiter (
       place     bigint generated always as identity,
       nonce     text collate "C" primary key,
       election  text collate "C" not null,
       session   text collate "C" not null,
       candidate text not null,
       metadata  text not null
     )`,
    `create index if not exists waiter_queue on ${s}.waiter (election, place)`,
    `create index if not exists waiter_session on ${s}.waiter (session)`,
    // One counter for all elections, the lower 42 bits of a token. It starts at the time of day, so that a schema that was
    // dropped and created again goes on above the tokens it once gave out.
    `create sequence if not exists ${s}.token maxvalue ${2n ** 42n - 1n} no cycle`,
    `select setval('${s.replaceAll("'", "''")}.token', least(extract(epoch from clock_timestamp()) * 1000, ${2n ** 41n})::bigint)
       from ${s}.token where not is_called`,
    `comment on table ${s}.session is '${format}'`,
  ];
}

const lookUp = `
select obj_description(c.oid, 'pg_class') as format
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relname = 'session'`;

/** Makes sure that the tables are there and mean what we think. */
export async function ensureTables(link: Link, { schema, address }: Settings, call: Call): Promise<void> {
  const look = async (): Promise<string | null> => {
    const [found] = await link.query(lookUp, [schema], call.signal);
    return found === undefined ? null : (found["format"] ?? "");
  };
  let found = await look();
  if (found === null) {
    await create(link, schema, call);
    found = await look();
  }
  if (found === format) return;
  throw new RefusedError(
    "format",
    `PostgreSQL at ${address}: the tables in schema "${schema}" are of another version (${JSON.stringify(found)} ` +
      `instead of "${format}"). Use one version of @elect/postgres for all candidates, or another schema.`,
  );
}

async function create(link: Link, schema: string, call: Call): Promise<void> {
  const send = async (text: string): Promise<readonly Row[]> => link.query(text, [], call.signal);
  const [makeSchema = "", ...makeTables] = tableDefinitions(schema);
  await send("begin");
  try {
    // The lock time-out of the connection is for statements in which somebody leads.
    await send("set local lock_timeout = 0");
    await send(`select pg_advisory_xact_lock(${creationLock})`);
    // "if not exists" asks for the privilege all the same.
    const [there] = await link.query("select from pg_namespace where nspname = $1", [schema], call.signal);
    if (there === undefined) await send(makeSchema);
    for (const definition of makeTables) await send(definition);
    await send("commit");
  } catch (error) {
    if (link.open) await send("rollback");
    throw error;
  }
}
