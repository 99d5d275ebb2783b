/**
 * The highest tokens this process knows of, for each store and election. A store that mints one below what was seen
 * there, or one that was granted here before, was restored from a backup or lost what it had acknowledged; to lead
 * under it could undo newer work (promise 4).
 *
 * Kept for the whole process on purpose: a new `Backend` on the same store must not forget what the last one saw.
 */

interface Known {
  /** Of anybody's term. Our own may be seen by others of this process before its grant reaches us. */
  seen: bigint;
  /** Of a term of this process. */
  granted: bigint;
}

const stores = new Map<string, Map<string, Known>>();

/** The token that makes this new one a regression; `null` if it is sound, and then it is remembered. */
export function regression(store: string, election: string, token: bigint): bigint | null {
  const known = knownOf(store, election);
  if (token < known.seen || token <= known.granted) return known.seen;
  known.seen = known.granted = token;
  return null;
}

/** Somebody leads with this token. */
export function sawToken(store: string, election: string, token: bigint): void {
  const known = knownOf(store, election);
  if (token > known.seen) known.seen = token;
}

function knownOf(store: string, election: string): Known {
  let elections = stores.get(store);
  if (elections === undefined) stores.set(store, (elections = new Map<string, Known>()));
  let known = elections.get(election);
  if (known === undefined) elections.set(election, (known = { seen: -1n, granted: -1n }));
  return known;
}
