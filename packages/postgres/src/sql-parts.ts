/** What the statements have in common. */

import {
  burialsKey,
  changesChannel,
  onlookersKey,
  sessionChannel,
  wakeMorePrefix,
  wakePrefix,
} from "./channels.ts";
import { quoted } from "./schema.ts";

export interface Parts {
  /** The schema, as an identifier. */
  readonly s: string;
  readonly me: string;
  readonly timeline: string;
  readonly neighbour: string;
  readonly asked: string;
  readonly takeLife: string;
  readonly vacant: string;
  readonly unheld: string;
  readonly unheldOfMany: string;
  readonly burials: bigint;
  firstWaiting(from: string, except?: string): string;
  wake(from: string): string;
  tell(names: string): string;
}

export function partsFor(schema: string): Parts {
  const s = quoted(schema);

  /** The own session, alive and on the connection that carries its life. */
  const me = `id = $1 and not dead and life::text = current_setting('elect.life', true)`;

  /** The timeline of the server that runs the statement: see server.ts. */
  const timeline = `current_setting('elect.timeline', true)::bigint`;

  /** The next session in the order of ids, round the end: see ring.ts. */
  const neighbour = `
      select n.id, n.life from ${s}.session n
       where not n.dead and n.takeover = 'connection' and n.timeline = ${timeline} and n.id <> $1
       order by n.id <= $1, n.id limit 1`;

  /** The first of those who wait for the election in `from.name`, if its session lives and is proven. */
  const firstWaiting = (from: string, except = ""): string => `
      select w.session from ${s}.waiter w join ${s}.session ws on ws.id = w.session
       where w.election = ${from}.name and not ws.dead and ws.lease > clock_timestamp() ${except}
       order by w.place limit 1`;

  const asked = `
    asked as materialized (
      select * from unnest($2::text[], $3::text[], $4::text[], $5::text[]) with ordinality
        as a (name, nonce, candidate, metadata, position))`;

  const takeLife = `
    lock as materialized (
      select pg_try_advisory_lock($2::bigint) as taken, set_config('elect.life', $2::bigint::text, false) as life)`;

  const vacant = `session = null, nonce = null, token = null, ttl_ms = null, candidate = null, metadata = null`;
  /** Whether the election `e` is free: vacant, or held by a session that is dead. */
  const unheld = `(e.session is null or exists (select from ${s}.session d where d.id = e.session and d.dead))`;
  /** The same, with one look at the sessions for all elections. */
  const unheldOfMany = `(e.session is null or e.session = any (array(select d.id from ${s}.session d where d.dead)))`;

  /**
   * Wakes those in `from` (session, name): one message for each session and as many names as go into it (a message has less
   * than 8000 bytes, a name 200 at most). A message for each name costs both ends 1,000 of them when a leader of 1,000 dies.
   * Each message but the last says that another follows, so that all are claimed in one go. They arrive in this order.
   */
  const wake = (from: string): string => `
    (select count(pg_notify('${sessionChannel("")}' || m.session,
                            case when m.part = m.last then '${wakePrefix}' else '${wakeMorePrefix}' end || m.names))::text
       from (select w.session, w.part, string_agg(w.name, E'\\n') as names, max(w.part) over (partition by w.session) as last
               from (select session, name, sum(octet_length(name) + 1) over (partition by session order by name) / 7000 as part
                       from ${from} where session is not null) w
              group by w.session, w.part
              order by w.session, w.part) m)`;

  /**
   * Tells onlookers, if there are any, which elections changed; "all", where the names are too long for a notification.
   * The lock is had, until the statement's end, only where no onlooker shares it; who comes later waits for it, and then looks.
   */
  const tell = (names: string): string => `
    (select pg_notify('${changesChannel(schema)}', case when octet_length(n.names) < 7900 then n.names else '' end)::text
       from (select string_agg(name, E'\\n') as names from ${names}) n
      where case when n.names is null then false else not pg_try_advisory_xact_lock(${onlookersKey(schema)}) end)`;

  return {
    s,
    me,
    timeline,
    neighbour,
    asked,
    takeLife,
    vacant,
    unheld,
    unheldOfMany,
    burials: burialsKey(schema),
    wake,
    firstWaiting,
    tell,
  };
}
