/**
 * When a command is ended, counted back from its deadline: the last instant at which its term is valid if no further
 * proof of the session is acknowledged. Core has already taken 1 % and 5 % of the TTL (100 ms at least) off the lease
 * that the store keeps; what follows is taken off once more, so that the dead are dead before the term is over.
 *
 *     last proof ─────────────────── SIGTERM ──────── SIGKILL ───── deadline ───────── lease ends in the store
 *                                        ◀── grace ──▶       ◀ margin ▶      ◀ core's margin ▶
 */

/** What a busy machine may take to let us run, and the kernel to end a process that was sent SIGKILL. */
export function killMargin(ttl: number): number {
  return Math.max(50, ttl / 10);
}

/**
 * How long a command may take to stop when its lease runs out. A fifth of the TTL at most: with proofs sent every third
 * of it, a leader survives a proof that failed; a longer grace would end leaders that are in good health.
 */
export function lossGrace(grace: number, ttl: number): number {
  return Math.min(grace, ttl / 5);
}
