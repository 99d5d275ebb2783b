/**
 * The highest token this process has seen, for each store and election. A store that mints one not above it was
 * restored from a backup or lost what it had acknowledged; to lead under it could undo newer work (promise 4).
 * Kept for the whole process on purpose: a new `Backend` on the same store must not forget what the last one saw.
 */

const highest = new Map<string, Map<string, bigint>>();

/** The highest token seen so far; `null` if none. */
export function highestSeen(store: string, election: string): bigint | null {
  return highest.get(store)?.get(election) ?? null;
}

/** Somebody leads with this token. */
export function sawToken(store: string, election: string, token: bigint): void {
  let elections = highest.get(store);
  if (elections === undefined) highest.set(store, (elections = new Map<string, bigint>()));
  const before = elections.get(election);
  if (before === undefined || token > before) elections.set(election, token);
}
