/** Who listens where, and what is said there. Notifications are hints: whoever misses one finds out by asking. */

import { createHash } from "node:crypto";

/** Where a session listens. */
export function sessionChannel(id: string): string {
  return `elect_${id}`;
}

/** Where those listen who look on. */
export function changesChannel(schema: string): string {
  return `elect_changes_${createHash("sha256").update(schema).digest("hex").slice(0, 16)}`;
}

/** What a session is told on its channel: the name of an election that is free… */
export const wakePrefix = "wake:";
/** … or that another session is now its neighbour (see ring.ts). */
export const neighbourChanged = "neighbour";
