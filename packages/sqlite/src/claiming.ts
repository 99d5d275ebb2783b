/**
 * What a bid for elections comes to, within one transaction. Records count while the session they name lives; whoever
 * finds one dead ends it here, together with all that it held, and takes what it came for.
 */

import type { ClaimAnswer, ClaimRequest, LeaderRecord, Patience } from "@elect/core/adapter";
import { count, text, token, type Row } from "./client.ts";
import { SessionOver } from "./errors.ts";
import type { Neighbours } from "./neighbours.ts";
import type { Statements } from "./sql.ts";

export interface Bid {
  /** The session that bids. */
  readonly id: string;
  /** As it was when the call was made (S4). */
  readonly generation: number;
  readonly requests: readonly ClaimRequest[];
  readonly neighbours: Neighbours;
}

/** How an election stands for one request. */
type Standing =
  /** This very claim leads already. */
  | { readonly kind: "ours"; readonly token: bigint }
  | {
      readonly kind: "held";
      readonly holder: string;
      readonly by: LeaderRecord;
      readonly patience: Patience | null;
    }
  /** Nobody leads, or a session that is dead. */
  | { readonly kind: "free"; readonly dead: string | null };

/** The answers, if all of them can be had by looking. `null`: something is to be written. */
export function survey(sql: Statements, bid: Bid): ClaimAnswer[] | null {
  assertCurrent(sql, bid);
  const answers: ClaimAnswer[] = [];
  for (const request of bid.requests) {
    const standing = look(sql, bid, request, (holder) => bid.neighbours.condition(holder) !== "alive");
    if (standing.kind === "free") return null;
    if (standing.kind === "held" && sql.waits.get(request.election, request.nonce) === undefined) return null;
    answers.push(reply(bid, request, standing));
  }
  return answers;
}

/** The same with the database to ourselves: what is free is taken, for what is held a place in the queue. */
export function answer(sql: Statements, bid: Bid): ClaimAnswer[] {
  assertCurrent(sql, bid);
  return bid.requests.map((request) => {
    const { election, nonce, candidate } = request;
    const standing = look(sql, bid, request, (holder) => bid.neighbours.isDeadForGood(holder));
    if (standing.kind === "free") {
      // One statement ends the session and deletes all its records, which hang on its row.
      if (standing.dead !== null) sql.endSession.run(standing.dead);
      const minted = token(present(sql.mint.get()), "token");
      sql.lead.run(election, bid.id, nonce, minted, candidate.id, candidate.metadata);
      sql.leave.run(election, nonce);
      bid.neighbours.forget(election);
      return { kind: "granted", token: minted };
    }
    if (standing.kind === "held") sql.queue.run(election, bid.id, nonce, candidate.id, candidate.metadata);
    return reply(bid, request, standing);
  });
}

/** `isDead` is asked about holders whose file is there. */
function look(
  sql: Statements,
  bid: Bid,
  request: ClaimRequest,
  isDead: (holder: string) => boolean,
): Standing {
  const row = sql.holder.get(request.election);
  if (row === undefined) return { kind: "free", dead: null };
  const holder = text(row, "session");
  const by = leaderIn(row);
  // A record of our own session counts whatever its lock may look like from outside: it never blocks itself (S2).
  if (holder === bid.id) {
    if (text(row, "nonce") === request.nonce) return { kind: "ours", token: by.token };
    return { kind: "held", holder, by, patience: null };
  }
  if (bid.neighbours.condition(holder) === "missing") return lookForMissing(sql, request, holder, by);
  return isDead(holder) ? { kind: "free", dead: holder } : { kind: "held", holder, by, patience: null };
}

/**
 * Somebody deleted the holder's file. A holder that lives will notice with its next proof and give up; one that does not
 * is dead. Either way it does not lead when its TTL has passed, which core times on its own clock.
 */
function lookForMissing(sql: Statements, request: ClaimRequest, holder: string, by: LeaderRecord): Standing {
  const row = sql.session.get(holder);
  const version = `missing ${holder}`;
  if (row === undefined || request.unchanged === version) return { kind: "free", dead: holder };
  return { kind: "held", holder, by, patience: { version, leaseMs: count(row, "ttl") } };
}

function reply(
  bid: Bid,
  { election }: ClaimRequest,
  standing: Exclude<Standing, { kind: "free" }>,
): ClaimAnswer {
  if (standing.kind === "ours") return { kind: "granted", token: standing.token };
  bid.neighbours.await(election, standing.holder);
  return { kind: "held", by: standing.by, retryInMs: null, patience: standing.patience };
}

/** A claim is granted only to a session that lives, and only if no later call has disposed of it (S3, S4). */
function assertCurrent(sql: Statements, bid: Bid): void {
  const row = sql.session.get(bid.id);
  if (row === undefined) throw new SessionOver("its row was deleted from the database");
  const generation = count(row, "generation");
  if (generation !== bid.generation) {
    throw new Error(
      `a claim of generation ${bid.generation} came late: the session is at generation ${generation}`,
    );
  }
}

export function leaderIn(row: Row): LeaderRecord {
  return { id: text(row, "candidate"), token: token(row, "token"), metadata: text(row, "metadata") };
}

function present(row: Row | undefined): Row {
  if (row === undefined) throw new TypeError('the database has no row in "store"');
  return row;
}
