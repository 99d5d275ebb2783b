/**
 * Everything that is said to the server while electing: here about sessions, in sql-elections.ts about elections, and
 * what they share in sql-parts.ts. Each text is one statement and one transaction.
 *
 * Rules of these files:
 *
 * - *Death is one step* (S1): only `bury`, `remains` and `endSession` set `dead`, and nothing unsets it. Each is a
 *   conditional update, so a proof that commits before it wins: PostgreSQL looks at the row again once it has its lock.
 * - *Every step sees its session alive* (S3, S4): `join` and `claim` lock the own session's row against `bury`, and do
 *   nothing unless they run on the connection whose life key that row names. A reconnect names a new key, so a
 *   delayed copy of an older statement is refused.
 * - *Nobody waits for anybody's row inside `claim`* (PG-18): rows that somebody else has locked are skipped.
 * - *A token is minted under the lock of the election's row*, or two terms could get theirs in the wrong order. So the row is
 *   there before it is claimed (`join` sees to it), and vacant when nobody leads.
 * - What is said about one election or about a thousand comes in two forms. The plan for a few is kept, and may have been
 *   made while the tables were small; so its scans are limited to the names and nonces asked for. The plan for many
 *   is made each time, for their number; the same limits would lead it to loops within loops.
 * - `is not distinct from` where an equality would lead the planner to the index of a session's thousands of rows.
 * - Names are qualified, values are parameters, and all that is returned is text.
 */

import { neighbourChanged, sessionChannel } from "./channels.ts";
import { electionSql, type ElectionSql } from "./sql-elections.ts";
import { partsFor, type Parts } from "./sql-parts.ts";

type OfSession = "openSession" | "resumeSession" | "prove" | "held" | "endSession" | "neighbour" | "greet";
type OfTheDead = "bury" | "untilBuried" | "vacateOrphan" | "remains" | "clear" | "forget";
type OfOnlookers = "leader" | "candidates";

export type Sql = Readonly<Record<OfSession | OfTheDead | OfOnlookers, string>> & ElectionSql;

export function sqlFor(schema: string): Sql {
  const parts = partsFor(schema);
  return { ...sessionSql(parts), ...electionSql(parts) };
}

function sessionSql(parts: Parts): Omit<Sql, keyof ElectionSql> {
  const { s, me, timeline, neighbour, firstWaiting, takeLife, vacant, unheld, burials, wake, tell } = parts;

  return {
    /** (id, life, ttl, takeover) */
    openSession: `
      with ${takeLife}
      insert into ${s}.session (id, life, timeline, ttl_ms, takeover, lease)
      select $1, $2::bigint, ${timeline}, $3::integer, $4,
             clock_timestamp() + $3::integer * interval '1 millisecond'
        from lock where lock.taken
      returning id`,

    /** (id, life): a reconnected session takes a new life lock, if it is not dead. */
    resumeSession: `
      with ${takeLife}
      update ${s}.session set life = $2::bigint, timeline = ${timeline}
        from lock where lock.taken and session.id = $1 and not dead
      returning id`,

    /** (id, ttl, whether to look for the neighbour) */
    prove: `
      with alive as (
        update ${s}.session
           set lease = clock_timestamp() + $2::integer * interval '1 millisecond', renewals = renewals + 1
         where ${me} returning id)
      select (select count(*) from alive)::text as alive,
             current_setting('elect.life', true) as life,
             held.terms::text, held.tokens::text,
             (select coalesce(json_agg(v.name), '[]')::text
                from (select e.name from ${s}.election e
                       where e.session is null
                         and exists (select from ${s}.waiter w where w.election = e.name and w.session = $1)
                       limit 100) v) as vacant,
             case when $3::boolean then (select n.life::text from (${neighbour}) n) end as neighbour
        from (select count(*) as terms, coalesce(sum(token), 0) as tokens
                from ${s}.election where session = $1) held`,

    /** (id): the nonces of what the session holds. */
    held: `select nonce from ${s}.election where session = $1`,

    /**
     * (id, version, names not to wake for): declares a session dead, if it is; says how often (0 or 1). What it held is free,
     * and for what it had been woken, or would have been, somebody else is woken.
     */
    bury: `
      with buried as (
        update ${s}.session set dead = true
         where id = $1 and not dead
           and case when timeline = ${timeline} and (takeover = 'connection' or lease < clock_timestamp())
                      or timeline || ':' || renewals = $2
                    then pg_try_advisory_xact_lock_shared(life)
                    else false end
        returning id),
      free as materialized (
        select e.name from ${s}.election e join buried b on e.session = b.id
         union
        select e.name from buried b join ${s}.waiter w on w.session = b.id join ${s}.election e on e.name = w.election
         where ${unheld}),
      woken as materialized (
        select free.name, n.session from free
         cross join lateral (${firstWaiting("free", "and w.session <> $1")}) n
         where free.name <> all ($3::text[]))
      select (select count(*) from buried)::text as buried, ${wake("woken")} as woken,
             ${tell("free")} as told`,

    /** Returns when the burials of the ring that are under way are over. */
    untilBuried: `select from pg_advisory_xact_lock_shared(${burials})`,

    /** (name, token): vacates a record whose session is missing. */
    vacateOrphan: `
      update ${s}.election e
         set ${vacant}
       where e.name = $1 and e.token = $2::bigint
         and not exists (select from ${s}.session h where h.id = e.session)`,

    /** (id): declares a session dead on its owner's word; answers the elections that are now free. */
    endSession: `
      with ended as (update ${s}.session set dead = true where id = $1 and not dead returning id),
      free as materialized (
        select e.name from ${s}.election e join ended d on e.session = d.id
         union
        select e.name from ended d join ${s}.waiter w on w.session = d.id join ${s}.election e on e.name = w.election
         where ${unheld}),
      woken as materialized (
        select free.name, n.session from free
        left join lateral (${firstWaiting("free", "and w.session <> $1")}) n on true)
      select name, session as woken,
             case when row_number() over () = 1 then ${wake("woken")} end as told,
             case when row_number() over () = 1 then ${tell("free")} end as told_all
        from woken`,

    /** (ids): lets go of all that dead sessions left behind; answers the elections concerned. */
    clear: `
      with dead as materialized (
        select id from ${s}.session where id = any ($1::text[]) and dead order by id for update skip locked),
      withdrawn as (delete from ${s}.waiter w using dead d where w.session = d.id returning w.election as name),
      mine as materialized (
        select e.name from ${s}.election e join dead d on e.session = d.id order by e.name for update of e skip locked),
      vacated as (
        update ${s}.election e
           set ${vacant}
          from mine m where e.name = m.name
        returning e.name)
      select name from withdrawn union select name from vacated`,

    /** (ids): forgets dead sessions that nothing names any more. */
    forget: `
      delete from ${s}.session s
       using (select id from ${s}.session where id = any ($1::text[]) and dead order by id for update skip locked) d
       where s.id = d.id
         and not exists (select from ${s}.election e where e.session = s.id)
         and not exists (select from ${s}.waiter w where w.session = s.id)`,

    /** Some sessions that are dead; before that, declares those dead that have been silent for twice their TTL. */
    remains: `
      with silent as materialized (
        select id from ${s}.session
         where not dead
           and case when timeline = ${timeline} and lease < clock_timestamp() - ttl_ms * interval '1 millisecond'
                    then pg_try_advisory_xact_lock_shared(life)
                    else false end
         order by id limit 50
           for update skip locked),
      buried as (update ${s}.session s set dead = true from silent where s.id = silent.id returning s.id)
      select id from buried union select id from (select id from ${s}.session where dead limit 50) dead`,

    /** (id): the next session of the ring. */
    neighbour: `select n.id, n.life::text from (${neighbour}) n`,

    /** (id): tells the session before this one that it has a new neighbour. */
    greet: `
      select pg_notify('${sessionChannel("")}' || before.id, '${neighbourChanged}')::text as told
        from (select id from ${s}.session where not dead and takeover = 'connection' and id <> $1
               order by id >= $1, id desc limit 1) before`,

    /** (name) */
    leader: `
      select e.candidate, e.metadata, e.token::text
        from ${s}.election e join ${s}.session h on h.id = e.session
       where e.name = $1 and not h.dead and h.lease > clock_timestamp()`,

    /** (name) */
    candidates: `
      select c.candidate, c.metadata
        from (select 0 as place, session, candidate, metadata from ${s}.election where name = $1
               union all
              select place, session, candidate, metadata from ${s}.waiter where election = $1) c
        join ${s}.session h on h.id = c.session
       where not h.dead and h.lease > clock_timestamp()
       order by c.place`,
  };
}
