/**
 * Effects that only the present leader can have, in SQL.
 *
 * In the database in which the election is held, {@link termCondition} and {@link holdTerm} lock the election's row: whoever
 * is elected next is elected after the effect has been committed, or the effect does not happen. In another database,
 * a {@link fenceIn | fence} of its own does that, once the new leader has sealed it.
 *
 * The lock is taken before the check, on the newest version of the row, so an old snapshot cannot admit an old leader: under
 * REPEATABLE READ and SERIALIZABLE the statement fails with a serialization error (SQLSTATE 40001) instead.
 */

import { NotLeaderError } from "@elect/core";
import { InvalidOptionError } from "@elect/core/adapter";

import { quoted } from "./schema.ts";

/** Your own client, with a transaction open on it: anything with the `query` of `pg`. Not a pool. */
export interface GuardClient {
  query(text: string, values: string[]): Promise<{ readonly rows: readonly object[] }>;
}

/** Whose effect it is. A `Term` is one. */
export interface Leadership {
  readonly election: string;
  readonly token: bigint;
}

/** The same for another database: `term.fence` sorts also across the stores that you may have moved between. */
export interface FencedLeadership extends Leadership {
  readonly fence: string;
}

/**
 * A condition for one statement, which then changes something only while the term is the election's:
 * `update report set … where id = $1 and ${termCondition("$2", "$3")}`, with `term.election` and `term.token` as values.
 * No row changed: stop working, the term is over.
 */
export function termCondition(election: string, token: string, schema = "elect"): string {
  return `exists (${lockTerm(election, token, schema)})`;
}

/**
 * For a transaction of several statements, as the first of them: from here to the commit nobody else is elected. Rejects
 * with a `NotLeaderError` when the term is over; roll back then. Keep the transaction short: it delays a successor.
 */
export async function holdTerm(client: GuardClient, leadership: Leadership, schema = "elect"): Promise<void> {
  const { election, token } = leadership;
  const held = await hold(client, lockTerm("$1", "$2", schema), [election, token.toString()]);
  if (!held) throw over(leadership, "the election's record names another term");
}

/** A table in another PostgreSQL database that refuses old leaders. Any SQL store can have one: see the README. */
export interface Fence {
  /** Creates the table, if it is not there. */
  readonly create: string;
  /** Before anything else in a new term: from here on, no older term can write. Rejects when a newer one has sealed. */
  seal(client: GuardClient, leadership: FencedLeadership): Promise<void>;
  /** Like {@link holdTerm}, after sealing. */
  hold(client: GuardClient, leadership: FencedLeadership): Promise<void>;
  /** Like {@link termCondition}, with `term.election` and `term.fence` as values. */
  condition(election: string, fence: string): string;
}

export function fenceIn(table = "elect_fence"): Fence {
  const t = quoted(table);
  const lock = (election: string, fence: string): string =>
    `select ${mark} from ${t} f where f.election = ${election} and f.fence = ${fence} for share of f`;
  return {
    create: `create table if not exists ${t} (election text primary key, fence text collate "C" not null)`,
    async seal(client, leadership) {
      const { rows } = await client.query(
        `insert into ${t} as f (election, fence) values ($1, $2)
         on conflict (election) do update set fence = excluded.fence where f.fence <= excluded.fence
         returning f.election`,
        [leadership.election, leadership.fence],
      );
      if (rows.length === 0) throw over(leadership, "a later term has sealed the store");
    },
    async hold(client, leadership) {
      const held = await hold(client, lock("$1", "$2"), [leadership.election, leadership.fence]);
      if (!held) throw over(leadership, "the store is not sealed with this term");
    },
    condition: (election, fence) => `exists (${lock(election, fence)})`,
  };
}

/** Not the session's row: its owner proves itself by updating that. */
function lockTerm(election: string, token: string, schema: string): string {
  const s = quoted(schema);
  return `select ${mark}
    from ${s}.election e join ${s}.session h on h.id = e.session
   where e.name = ${election} and e.token = ${token}::bigint and not h.dead for share of e`;
}

/** Lasts as long as the lock: until the end of the transaction. */
const mark = "set_config('elect.held', 'yes', true)";

/** Whether there is a row, now locked until the transaction ends; and there is a transaction that has not ended. */
async function hold(client: GuardClient, text: string, values: string[]): Promise<boolean> {
  const { rows } = await client.query(text, values);
  if (rows.length === 0) return false;
  const lasting = await client.query(
    "select 1 as held where current_setting('elect.held', true) = 'yes'",
    [],
  );
  if (lasting.rows.length > 0) return true;
  throw new InvalidOptionError(
    "client",
    'There is no transaction open on the client: send "begin" on it first, and give no pool.',
  );
}

function over({ election, token }: Leadership, what: string): NotLeaderError {
  return new NotLeaderError(
    election,
    token,
    "record-lost",
    `Election "${election}": the term with token ${token} is over: ${what}. Roll back, and stop acting on it.`,
  );
}
