/** What the answer to a claim means, row by row. Pure: the session acts on it. */

import type { ClaimAnswer, ClaimRequest, LeaderRecord, Patience } from "@elect/core/adapter";

import type { Row } from "./client.ts";

/** What is worth doing before claiming again at once. */
export type Obstacle =
  /** The election has no row (its last candidate left in between): join again. */
  | { readonly kind: "absent" }
  /** The holder may be dead: try to declare it so. */
  | { readonly kind: "suspect"; readonly session: string; readonly version: string }
  /** The record names a session that nobody knows, and has stayed the same for long enough. */
  | { readonly kind: "orphan"; readonly token: string };

export interface Reading {
  readonly answer: ClaimAnswer;
  readonly obstacle: Obstacle | null;
}

/** After the lease, for the clocks of timers, and so that the holder's connection has run into its time-out too. */
const afterLeaseMs = 15;
/** Those behind in the queue come one after the other, and find that the first has won. */
const placeMs = 15;
/** Somebody is about to take it, or the lease is over and the connection of its holder is not. */
const soonMs = 100;

export function read(row: Row, request: ClaimRequest, me: string): Reading {
  const { granted, session } = row;
  if (granted !== null && granted !== undefined) {
    return { answer: { kind: "granted", token: BigInt(granted) }, obstacle: null };
  }
  if (row["present"] !== "true") return { answer: held(null, soonMs), obstacle: { kind: "absent" } };
  const by = holderIn(row);
  // Vacant when we looked, and locked: somebody is taking it, or a guarded write of the last term is under way.
  if (by === null || session === undefined || session === null)
    return { answer: held(null, soonMs), obstacle: null };
  if (session === me) {
    const ours = row["nonce"] === request.nonce;
    return { answer: ours ? { kind: "granted", token: by.token } : held(by, null), obstacle: null };
  }
  // No such session: its lease is over, and that does not free the election. Its owner learns of it with the next
  // proof, so a lease seen from its start to its end by our own clock does.
  if (row["dead"] === null) {
    const version = `gone:${by.token}`;
    const patience = { version, leaseMs: Number(row["term_ttl"]) };
    const orphan = { kind: "orphan", token: `${by.token}` } as const;
    return { answer: held(by, null, patience), obstacle: request.unchanged === version ? orphan : null };
  }
  if (row["dead"] === "true") return { answer: held(null, soonMs), obstacle: null };
  return readLiving(row, request, session, by);
}

function readLiving(row: Row, request: ClaimRequest, session: string, by: LeaderRecord): Reading {
  const lease = Number(row["lease"]);
  const ttl = Number(row["ttl"]);
  const version = row["version"] ?? "";
  // The lease was granted by another server's clock (before a promotion), or by this one's before it was set back.
  if (row["current"] !== "true" || lease > ttl) {
    const patience = { version: `${session}:${version}`, leaseMs: ttl };
    const over = request.unchanged === patience.version;
    return {
      answer: held(by, null, patience),
      obstacle: over ? { kind: "suspect", session, version } : null,
    };
  }
  const mayBeDead = lease <= 0 || row["takeover"] === "connection";
  const wait = Math.ceil(lease + afterLeaseMs + placeMs * Number(row["ahead"]));
  return {
    answer: held(by, lease <= 0 ? soonMs : wait),
    obstacle: mayBeDead ? { kind: "suspect", session, version: "" } : null,
  };
}

function held(
  by: LeaderRecord | null,
  retryInMs: number | null,
  patience: Patience | null = null,
): ClaimAnswer {
  return { kind: "held", by, retryInMs, patience };
}

function holderIn({ candidate, metadata, token }: Row): LeaderRecord | null {
  if (typeof candidate !== "string" || typeof metadata !== "string" || typeof token !== "string") return null;
  return { id: candidate, metadata, token: BigInt(token) };
}
