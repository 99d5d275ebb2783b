/**
 * Everything that is said to SQLite about elections. One row for each session that nobody declared dead; what it leads
 * and waits for hangs on that row and goes with it, so that a session dies, and lets go of all it had, in one step.
 */

import type { Database, Statement } from "./client.ts";

/** "Elec": says that the file is ours. */
export const applicationId = 0x456c6563;

/** Raised when the tables change; a database of a newer version is refused. */
export const schemaVersion = 1;

/**
 * A rollback journal, not WAL. WAL keeps its locks, and the files they stand for, for as long as a connection is open: if
 * other code of a process opens and closes one of the files, its locks are gone, the next process to leave deletes the
 * log, and the first goes on writing to a deleted one. With a rollback journal nothing is held between transactions.
 * See decisions/0002.
 *
 * Truncating the journal is what commits, and "full" syncs it: a token that was handed out is on the disk.
 */
export const settings =
  "pragma journal_mode = truncate; pragma synchronous = full; pragma foreign_keys = on;";

export const schema: string = `
  create table store (
    only_row integer primary key check (only_row = 1),
    id text not null,
    mode text not null,
    token integer not null
  ) strict;
  create table session (
    id text primary key,
    generation integer not null,
    ttl integer not null,
    clock text not null
  ) strict, without rowid;
  create table election (
    name text primary key,
    session text not null references session on delete cascade,
    nonce text not null,
    token integer not null,
    candidate text not null,
    metadata text not null
  ) strict, without rowid;
  create index election_of_session on election (session);
  create table waiting (
    place integer primary key,
    election text not null,
    session text not null references session on delete cascade,
    nonce text not null,
    candidate text not null,
    metadata text not null,
    unique (election, nonce)
  ) strict;
  create index waiting_of_session on waiting (session);
  insert into store values (1, lower(hex(randomblob(16))), 'lock', 0);
  pragma application_id = ${applicationId};
  pragma user_version = ${schemaVersion};
`;

const statements = {
  version: "pragma data_version",
  store: "select id, mode from store",
  setMode: "update store set mode = ?",

  sessions: "select id, clock from session",
  session: "select generation, ttl from session where id = ?",
  openSession: "insert into session values (?, 0, ?, ?)",
  endSession: "delete from session where id = ?",
  endIdleSession:
    "delete from session where id = ?1 and not exists (select 1 from election where session = ?1)",
  raiseGeneration: "update session set generation = generation + 1 where id = ? returning generation",

  holder: "select session, nonce, token, candidate, metadata from election where name = ?",
  heldBy: "select nonce from election where session = ?",
  mint: "update store set token = token + 1 returning token",
  lead: "insert into election values (?, ?, ?, ?, ?, ?)",
  release: "delete from election where name = ? and session = ? and nonce = ?",

  waits: "select 1 from waiting where election = ? and nonce = ?",
  queue:
    "insert into waiting (election, session, nonce, candidate, metadata) values (?, ?, ?, ?, ?) on conflict do nothing",
  leave: "delete from waiting where election = ? and nonce = ?",
  candidates: `
    select session, candidate, metadata from election where name = ?1
    union all
    select session, candidate, metadata from (select * from waiting where election = ?1 order by place)`,
} as const;

export type Statements = Readonly<Record<keyof typeof statements, Statement>>;

export function prepare(database: Database): Statements {
  const prepared = Object.entries(statements).map(([name, sql]) => [name, database.prepare(sql)] as const);
  const all = Object.fromEntries(prepared) as Statements;
  // Tokens are never a `Number`.
  for (const statement of [all.holder, all.mint]) statement.setReadBigInts(true);
  return all;
}
