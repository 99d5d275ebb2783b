/** What is said about elections, one or a thousand. The rules are in sql.ts. */

import type { Parts } from "./sql-parts.ts";

/** The bits of a token below the timeline. */
const counterBits = 42;

export interface Batched {
  /** For up to ten. */
  readonly few: string;
  readonly many: string;
}

export type ElectionSql = Readonly<Record<"join" | "claim" | "release", Batched>> & {
  readonly settle: string;
};

export function electionSql(parts: Parts): ElectionSql {
  const { s, me, timeline, firstWaiting, asked, vacant, unheld, unheldOfMany, wake, tell } = parts;

  return {
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

    /**
     * (id, names, nonces, candidates, metadata, ttl): takes what is free. One row says whether the session is alive, and has the
     * tokens of all that was taken: a thousand may be, and then there is a hurry. A row for each of the others says what was found.
     */
    claim: batched(
      (only, few) => `
      with me as materialized (select from ${s}.session where ${me} for share), ${asked},
      first as materialized (select distinct on (name) * from asked order by name, position),
      free as materialized (
        select f.* from ${s}.election e join first f on f.name = e.name cross join me
         where ${few ? unheld : unheldOfMany}${only("e.name", 2)}
         order by e.name
           for update of e skip locked),
      taken as (
        update ${s}.election e
           set session = $1, nonce = f.nonce, candidate = f.candidate, metadata = f.metadata, ttl_ms = $6::integer,
               token = (${timeline} << ${counterBits}) | nextval('${s.replaceAll("'", "''")}.token')
          from free f
         where e.name = f.name${only("e.name", 2)}
        returning e.name, e.nonce, e.token),
      served as (delete from ${s}.waiter w using taken t where w.nonce = t.nonce${only("w.nonce", 3)})
      select null as nonce, null as found, (select count(*) from me)::text as alive,
             (select json_object_agg(t.nonce, t.token::text) from taken t)::text as granted, ${tell("taken")} as told
       union all
      select a.nonce,
             case when e.name is not null then json_build_object(
               'session', e.session, 'nonce', e.nonce, 'token', e.token::text, 'candidate', e.candidate, 'metadata', e.metadata,
               'termTtl', e.ttl_ms, 'dead', h.dead, 'current', h.timeline = ${timeline}, 'ttl', h.ttl_ms, 'takeover', h.takeover,
               'version', h.timeline || ':' || h.renewals,
               'lease', extract(epoch from h.lease - clock_timestamp()) * 1000,
               'ahead', (select count(*) from (
                 select from ${s}.waiter q where q.election = a.name and q.place < w.place limit 10) ahead)) end::text,
             null, null, null
        from asked a
        left join ${s}.election e on e.name = a.name${only("e.name", 2)}
        left join ${s}.session h on h.id = e.session
        left join ${s}.waiter w on w.nonce = a.nonce${only("w.nonce", 3)}
       where not exists (select from taken t where t.nonce = a.nonce)`,
    ),

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
         where ${unheld}),
      woken as materialized (
        select free.name, n.session from free
        left join lateral (${firstWaiting("free", "and w.nonce <> all ($3::text[])")}) n on true)
      select name, session as woken,
             case when row_number() over () = 1 and $4::boolean then ${wake("woken")} end as told,
             case when row_number() over () = 1 and $4::boolean then ${tell("vacated")} end as told_all
        from woken`,
    ),

    /** (names): wakes who came late for an election that is free, and forgets those for which nobody waits. */
    settle: `
      with free as (select e.name from ${s}.election e where e.name = any ($1::text[]) and ${unheld}),
      idle as materialized (
        select e.name from ${s}.election e
         where e.name = any ($1::text[]) and e.session is null
           and not exists (select from ${s}.waiter w where w.election = e.name)
         order by e.name
           for update of e skip locked),
      forgotten as (delete from ${s}.election e using idle i where e.name = i.name),
      woken as materialized (
        select free.name, n.session from free cross join lateral (${firstWaiting("free")}) n)
      select ${wake("woken")} as told`,
  };
}

function batched(
  write: (only: (column: string, parameter: number) => string, few: boolean) => string,
): Batched {
  return {
    few: write((column, parameter) => ` and ${column} = any ($${parameter}::text[])`, true),
    many: write(() => "", false),
  };
}
