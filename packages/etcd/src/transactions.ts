/**
 * The transactions, each one step in etcd. In all of them:
 *
 * - they are conditional on the *session's key*: it is on the session's lease, so that it is there as long as the
 *   session lives, and etcd deletes it, with all the session holds, in one step (S1, S3); its value is the session's
 *   generation, so that a delayed copy of an older claim finds another one (S4);
 * - conditions are judged on the state before the transaction, all at once (`etcdserver/apply_v3.go`), also those of
 *   transactions within it: that is how fifty claims fit into one (`--max-txn-ops` counts each level by itself).
 */

import type { CandidateRecord } from "@elect/core/adapter";
import type { Compare, Operation, Transaction } from "./client.ts";
import { generationValue, recordValue, valuesOf, type Keys } from "./keys.ts";

/** A session, as transactions see it. */
export interface Footing {
  readonly key: Buffer;
  readonly lease: string;
  /** The revision at which the key was put. */
  readonly born: string;
}

/** A claim, as transactions see it. */
export interface Stake {
  readonly election: string;
  /** The session's and the claim's nonce. */
  readonly mark: string;
}

export interface Bid extends Stake {
  readonly candidate: CandidateRecord;
}

export function birth({ key, lease }: Omit<Footing, "born">): Transaction {
  return {
    compare: [absent(key)],
    success: [{ request_put: { key, value: generationValue(0), lease } }],
  };
}

/**
 * The second half of a proof. The delete finds nothing: it makes this a write, which the quorum commits, and yet
 * leaves no revision behind and needs no room (a full database refuses puts, and must not depose leaders).
 * `reads` are looked at in the same step.
 */
export function proof(session: Footing, reads: readonly Buffer[]): Transaction {
  const nothing = Buffer.concat([session.key, Buffer.from("/")]);
  return {
    compare: [createdAt(session.key, session.born), onLease(session.key, session.lease)],
    success: [{ request_delete_range: { key: nothing } }, ...reads.map((key) => look(key))],
  };
}

/** Claims in one step, for elections that are all different: etcd lets a transaction put a key once. */
export function claiming(session: Footing, generation: number, claims: readonly Operation[][]): Transaction {
  return {
    compare: [
      { key: session.key, target: "Value", result: "Equal", value: generationValue(generation) },
      onLease(session.key, session.lease),
    ],
    success: claims.map((operations) => ({ request_txn: { success: operations } })),
    failure: [look(session.key)],
  };
}

/**
 * A claim that is not in the queue yet, for what this session knows: leads at once if nobody leads and nobody waits,
 * else takes the place at the end. Answers: the leader, the last in the queue before us, our place if we had one.
 */
export function joining(keys: Keys, { lease }: Footing, bid: Bid): Operation[] {
  const { leader, place, queue, value } = parts(keys, bid);
  const queued: Operation = { request_put: { key: place, value, lease } };
  const leading: Operation = { request_put: { key: leader, value, lease } };
  return [
    { request_range: { key: leader } },
    { request_range: { ...queue, sort_target: "Create", sort_order: "Descend", limit: 1, keys_only: true } },
    look(place),
    {
      request_txn: {
        compare: [vacant(leader), { ...absent(queue.key), range_end: queue.range_end }],
        success: [queued, leading],
        failure: [{ request_txn: { compare: [absent(place)], success: [queued] } }],
      },
    },
  ];
}

/**
 * A claim that has its place, taken at revision `joined`: leads if the place is still ours, no older one is left, and
 * nobody leads. Answers: the leader, the one before us, our place.
 */
export function advancing(keys: Keys, { lease }: Footing, bid: Bid, joined: bigint): Operation[] {
  const { leader, place, queue, value } = parts(keys, bid);
  const before = String(joined - 1n);
  return [
    { request_range: { key: leader } },
    {
      request_range: {
        ...queue,
        max_create_revision: before,
        sort_target: "Create",
        sort_order: "Descend",
        limit: 1,
        keys_only: true,
      },
    },
    look(place),
    {
      request_txn: {
        compare: [
          createdAt(place, String(joined)),
          // Of a range, etcd compares every key.
          { ...queue, target: "Create", result: "Greater", create_revision: before },
          vacant(leader),
        ],
        success: [{ request_put: { key: leader, value, lease } }],
      },
    },
  ];
}

/** Raises the session's generation; a delayed copy cannot lower it. */
export function raising({ key, born }: Footing, generation: number): Operation {
  const value = generationValue(generation);
  return {
    request_txn: {
      compare: [createdAt(key, born), { key, target: "Value", result: "Less", value }],
      success: [{ request_put: { key, value, ignore_lease: true } }],
    },
  };
}

/**
 * Gives a place back, and the leadership if it is this claim's. In one step, and the place is what the next in line
 * watches: it is woken once.
 */
export function leaving(keys: Keys, { election, mark }: Stake): Operation[] {
  const leader = keys.leader(election);
  const { above, below } = valuesOf(mark);
  return [
    { request_delete_range: { key: keys.place(election, mark) } },
    {
      request_txn: {
        compare: [
          { key: leader, target: "Value", result: "Greater", value: above },
          { key: leader, target: "Value", result: "Less", value: below },
        ],
        success: [{ request_delete_range: { key: leader } }],
      },
    },
  ];
}

function look(key: Buffer): Operation {
  return { request_range: { key, keys_only: true } };
}

function parts(keys: Keys, bid: Bid) {
  const { election, mark, candidate } = bid;
  return {
    leader: keys.leader(election),
    place: keys.place(election, mark),
    queue: keys.queue(election),
    value: recordValue(mark, candidate),
  };
}

/** A missing key compares as one of revision 0… */
function absent(key: Buffer): Compare {
  return createdAt(key, "0");
}

/** …and of no lease. A leader key without a lease was not written by us and never goes away: it leads nobody. */
function vacant(leader: Buffer): Compare {
  return onLease(leader, "0");
}

function createdAt(key: Buffer, revision: string): Compare {
  return { key, target: "Create", result: "Equal", create_revision: revision };
}

function onLease(key: Buffer, lease: string): Compare {
  return { key, target: "Lease", result: "Equal", lease };
}
