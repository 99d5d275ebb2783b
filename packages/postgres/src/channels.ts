/** Who listens where, and what is said there. Notifications are hints: whoever misses one finds out by asking. */

import { createHash } from "node:crypto";

/** Where a session listens. */
export function sessionChannel(id: string): string {
  return `elect_${id}`;
}

/** Where those listen who look on. */
export function changesChannel(schema: string): string {
  return `elect_changes_${digest(schema).toString("hex").slice(0, 16)}`;
}

/**
 * The key of the lock that onlookers share. Every notification makes the server wake all processes that listen to anything in
 * the database, so changes are announced only while somebody looks on.
 */
export function onlookersKey(schema: string): bigint {
  return digest(schema).readBigInt64BE(8);
}

/** The key of the lock under which sessions are buried, one at a time (see ring.ts). */
export function burialsKey(schema: string): bigint {
  return digest(schema).readBigInt64BE(16);
}

function digest(schema: string): Buffer {
  return createHash("sha256").update(`elect:${schema}`).digest();
}

/** What a session is told on its channel: the names of elections that are free, one a line; */
export const wakePrefix = "wake:";
/** some of them, and the others follow at once (a message has less than 8000 bytes); */
export const wakeMorePrefix = "wake+:";
/** or that another session is now its neighbour (see ring.ts). */
export const neighbourChanged = "neighbour";
