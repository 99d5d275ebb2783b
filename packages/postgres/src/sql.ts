/**
 * Everything that is said to the server while electing, in one place. Each text is one statement and one transaction.
 *
 * Rules of this file:
 *
 * - *Death is one step* (S1): only `bury` and `endSession` set `dead`, and nothing unsets it. `bury` is one conditional
 *   update of one row, so a proof that commits before it wins: PostgreSQL looks at the row again once it has the lock.
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

import { changesChannel, neighbourChanged, onlookersKey, sessionChannel, wakePrefix } from "./channels.ts";
import { quoted } from "./schema.ts";

/** The bits of a token below the timeline. */
const counterBits = 42;

export interface Batched {
  /** For up to ten. */
  readonly few: string;
  readonly many: string;
}

type OfSession = "openSession" | "resumeSession" | "prove" | "held" | "endSession" | "neighbour" | "greet";
type OfTheDead = "bury" | "vacateOrphan" | "remains" | "clear" | "forget";
type OfOnlookers = "leader" | "candidates";
type OfElections = "join" | "claim" | "release" | "settle";

export type Sql = Readonly<
  Record<OfSession | OfTheDead | OfOnlookers, string> & Record<OfElections, Batched>
>;

export function sqlFor(schema: string): Sql {
  const s = quoted(schema);
  const changes = changesChannel(schema);

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
  const wakeUp = `pg_notify('${sessionChannel("")}' || n.session, '${wakePrefix}' || free.name)`;

  /**
   * Tells onlookers, if there are any, which elections changed; "all", where the names are too long for a notification.
   * The lock is had, until the statement's end, only where no onlooker shares it; who comes later waits for it, and then looks.
   */
  const tell = (names: string): string => `
    (select pg_notify('${changes}', case when octet_length(n.names) < 7900 then n.names else '' end)::text
       from (select string_agg(name, E'\\n') as names from ${names}) n
      where case when n.names is null then false else not pg_try_advisory_xact_lock(${onlookersKey(schema)}) end)`;

  const batched = (write: (only: (column: string, parameter: number) => string) => string): Batched => ({
    few: write((column, parameter) => ` and ${column} = any ($${parameter}::text[])`),
    many: write(() => ""),
  });

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

    /** (id, names, nonces, candidates, metadata): waits for elections; safe to repeat. */
    join: batched(
      (only) => `
      with me as materialized (select from ${s}.session where ${me} for share), ${asked},
      places as (
        insert into ${s}.election (name)
        select distinct a.name from asked a cross join me order by a.name
        on conflict do nothing)
      insert into ${s}.waiter (election, session, nonce, candidate, metadata)
      select a.name, $1, a.nonce, a.candidate, a.metadata from asked a cross join me
       where not exists (
         select from ${s}.election e
          where e.name = a.name${only("e.name", 2)} and e.session is not distinct from $1 and e.nonce = a.nonce)
       order by a.position
      on conflict do nothing`,
    ),

    /** (id, names, nonces, candidates, metadata, ttl): takes what is free. */
    claim: batched(
      (only) => `
      with me as materialized (select from ${s}.session where ${me} for share), ${asked},
      first as materialized (select distinct on (name) * from asked order by name, position),
      free as materialized (
        select e.name from ${s}.election e join first f on f.name = e.name cross join me
         where (e.session is null or exists (select from ${s}.session d where d.id = e.session and d.dead))${only("e.name", 2)}
         order by e.name
           for update of e skip locked),
      taken as (
        update ${s}.election e
           set session = $1, nonce = f.nonce, candidate = f.candidate, metadata = f.metadata, ttl_ms = $6::integer,
               token = (${timeline} << ${counterBits}) | nextval('${s.replaceAll("'", "''")}.token')
          from free join first f on f.name = free.name
         where e.name = free.name${only("e.name", 2)}
        returning e.name, e.nonce, e.token),
      served as (delete from ${s}.waiter w using taken t where w.nonce = t.nonce${only("w.nonce", 3)})
      select (select count(*) from me)::text as alive,
             case when t.nonce is not null then t.token end::text as granted,
             (e.name is not null)::text as present,
             e.session, e.nonce, e.token::text, e.candidate, e.metadata, e.ttl_ms::text as term_ttl,
             h.dead::text, (h.timeline = ${timeline})::text as current, h.ttl_ms::text as ttl, h.takeover,
             h.timeline || ':' || h.renewals as version,
             (extract(epoch from h.lease - clock_timestamp()) * 1000)::text as lease,
             (select count(*) from (
                select from ${s}.waiter q where q.election = a.name and q.place < w.place limit 10) ahead)::text as ahead,
             case when a.position = 1 then ${tell("taken")} end as told
        from asked a
        left join taken t on t.nonce = a.nonce
        left join ${s}.election e on e.name = a.name${only("e.name", 2)}
        left join ${s}.session h on h.id = e.session
        left join ${s}.waiter w on w.nonce = a.nonce${only("w.nonce", 3)}
       order by a.position`,
    ),

    /** (id, version, names not to wake for): declares a session dead, if it is; says how often (0 or 1). */
    bury: `
      with buried as (
        update ${s}.session set dead = true
         where id = $1 and not dead
           and case when timeline = ${timeline} and (takeover = 'connection' or lease < clock_timestamp())
                      or timeline || ':' || renewals = $2
                    then pg_try_advisory_xact_lock_shared(life)
                    else false end
        returning id),
      free as materialized (select e.name from ${s}.election e join buried b on e.session = b.id),
      woken as (
        select free.name from free
         cross join lateral (${firstWaiting("free")}) n
         cross join lateral ${wakeUp}
         where free.name <> all ($3::text[]))
      select (select count(*) from buried)::text as buried, (select count(*) from woken)::text as woken,
             ${tell("free")} as told`,

    /** (name, token): vacates a record whose session is missing. */
    vacateOrphan: `
      update ${s}.election e
         set ${vacant}
       where e.name = $1 and e.token = $2::bigint
         and not exists (select from ${s}.session h where h.id = e.session)`,

    /** (id, names, nonces, wake): lets go of terms and places in the queue; answers the elections that are now free. */
    release: batched(
      (only) => `
      with gone as materialized (select * from unnest($2::text[], $3::text[]) as g (name, nonce)),
      vacated as (
        update ${s}.election e
           set ${vacant}
          from gone g
         where e.name = g.name${only("e.name", 2)} and e.session is not distinct from $1 and e.nonce = g.nonce
        returning e.name),
      withdrawn as (
        delete from ${s}.waiter w using gone g
         where w.nonce = g.nonce${only("w.nonce", 3)} and w.session is not distinct from $1
        returning w.election as name),
      free as materialized (
        select v.name from vacated v
         union
        select q.name from withdrawn q join ${s}.election e on e.name = q.name
         where e.session is null or exists (select from ${s}.session d where d.id = e.session and d.dead))
      select free.name, n.session as woken,
             case when n.session is not null and $4::boolean then ${wakeUp} end::text as told,
             case when row_number() over () = 1 and $4::boolean then ${tell("vacated")} end as told_all
        from free
        left join lateral (${firstWaiting("free", "and w.nonce <> all ($3::text[])")}) n on true`,
    ),

    /** (names): wakes who came late for an election that is free, and forgets those for which nobody waits. */
    settle: batched(
      () => `
      with free as (select e.name from ${s}.election e where e.name = any ($1::text[]) and e.session is null),
      idle as materialized (
        select e.name from ${s}.election e
         where e.name = any ($1::text[]) and e.session is null
           and not exists (select from ${s}.waiter w where w.election = e.name)
         order by e.name
           for update of e skip locked),
      forgotten as (delete from ${s}.election e using idle i where e.name = i.name)
      select ${wakeUp}::text as told from free
       cross join lateral (${firstWaiting("free")}) n`,
    ),

    /** (id): declares a session dead on its owner's word; answers the elections that are now free. */
    endSession: `
      with ended as (update ${s}.session set dead = true where id = $1 and not dead returning id),
      free as materialized (
        select e.name from ${s}.election e join ended d on e.session = d.id
         union
        select w.election from ended d join ${s}.waiter w on w.session = d.id
          join ${s}.election e on e.name = w.election and e.session is null)
      select free.name,
             case when n.session is not null then ${wakeUp} end::text as told,
             case when row_number() over () = 1 then ${tell("free")} end as told_all
        from free
        left join lateral (${firstWaiting("free", "and w.session <> $1")}) n on true`,

    /** (id): lets go of all that a dead session left behind; answers the elections concerned. */
    clear: `
      with dead as materialized (select id from ${s}.session where id = $1 and dead for update skip locked),
      withdrawn as (delete from ${s}.waiter w using dead d where w.session = d.id returning w.election as name),
      mine as materialized (
        select e.name from ${s}.election e join dead d on e.session = d.id order by e.name for update of e skip locked),
      vacated as (
        update ${s}.election e
           set ${vacant}
          from mine m where e.name = m.name
        returning e.name)
      select name from withdrawn union select name from vacated`,

    /** (id): forgets a dead session that nothing names any more. */
    forget: `
      delete from ${s}.session where id = $1 and dead
         and not exists (select from ${s}.election e where e.session = $1)
         and not exists (select from ${s}.waiter w where w.session = $1)`,

    /** Sessions that are dead or seem to be. */
    remains: `
      select id from ${s}.session
       where dead or timeline = ${timeline} and lease < clock_timestamp() - ttl_ms * interval '1 millisecond'
       limit 20`,

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
