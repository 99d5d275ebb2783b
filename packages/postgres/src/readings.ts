/** What the answer to a claim means (sql-elections.ts). Pure: the session acts on it. */

import type { ClaimAnswer, ClaimRequest, LeaderRecord, Patience } from "@elect/core/adapter";

import type { Row } from "./driver.ts";

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

/** The record of an election that was not taken, and the session that it names; times in ms. */
export interface Found {
  readonly session: string | null;
  readonly nonce: string | null;
  /** As text: JSON's numbers are not exact enough. */
  readonly token: string | null;
  readonly candidate: string | null;
  readonly metadata: string | null;
  readonly termTtl: number | null;
  /** From here on `null` where there is no such session. */
  readonly dead: boolean | null;
  /** Whether its lease was granted on the server's present timeline. */
  readonly current: boolean | null;
  readonly ttl: number | null;
  readonly takeover: string | null;
  readonly version: string | null;
  /** What is left of it. */
  readonly lease: number | null;
  /** How many wait before us, counted up to ten. */
  readonly ahead: number;
}

/** Of all requests of one statement, in their order; `null`: the session is dead, or this is not its connection any more. */
export function readAll(
  rows: readonly Row[],
  requests: readonly ClaimRequest[],
  me: string,
): Reading[] | null {
  const found = new Map(rows.map((row) => [row["nonce"], row]));
  const { alive, granted = null } = found.get(null) ?? {};
  if (alive !== "1") return null;
  const tokens = JSON.parse(granted ?? "{}") as Record<string, string>;
  return requests.map((request) => {
    const token = tokens[request.nonce];
    if (token === undefined) return read(found.get(request.nonce)?.["found"] ?? null, request, me);
    return { answer: { kind: "granted", token: BigInt(token) }, obstacle: null };
  });
}

/** Of one that was not granted. */
export function read(json: string | null, request: ClaimRequest, me: string): Reading {
  if (json === null) return { answer: held(null, soonMs), obstacle: { kind: "absent" } };
  const found = JSON.parse(json) as Found;
  const { session } = found;
  const by = holderIn(found);
  // Vacant when we looked, and locked: somebody is taking it, or a guarded write of the last term is under way.
  if (by === null || session === null) return { answer: held(null, soonMs), obstacle: null };
  if (session === me) {
    const ours = found.nonce === request.nonce;
    return { answer: ours ? { kind: "granted", token: by.token } : held(by, null), obstacle: null };
  }
  // No such session: its lease is over, and that does not free the election. Its owner learns of it with the next
  // proof, so a lease seen from its start to its end by our own clock does.
  if (found.dead === null) {
    const version = `gone:${by.token}`;
    const patience = { version, leaseMs: Number(found.termTtl) };
    const orphan = { kind: "orphan", token: `${by.token}` } as const;
    return { answer: held(by, null, patience), obstacle: request.unchanged === version ? orphan : null };
  }
  if (found.dead) return { answer: held(null, soonMs), obstacle: null };
  return readLiving(found, request, session, by);
}

function readLiving(found: Found, request: ClaimRequest, session: string, by: LeaderRecord): Reading {
  const lease = Number(found.lease);
  const ttl = Number(found.ttl);
  const version = found.version ?? "";
  // The lease was granted by another server's clock (before a promotion), or by this one's before it was set back.
  if (found.current !== true || lease > ttl) {
    const patience = { version: `${session}:${version}`, leaseMs: ttl };
    const over = request.unchanged === patience.version;
    return {
      answer: held(by, null, patience),
      obstacle: over ? { kind: "suspect", session, version } : null,
    };
  }
  const mayBeDead = lease <= 0 || found.takeover === "connection";
  const wait = Math.ceil(lease + afterLeaseMs + placeMs * found.ahead);
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

function holderIn({ candidate, metadata, token }: Found): LeaderRecord | null {
  if (candidate === null || metadata === null || token === null) return null;
  return { id: candidate, metadata, token: BigInt(token) };
}
