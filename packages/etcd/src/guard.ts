/**
 * The guarded write: an effect in the same etcd that happens only if the term is not over.
 *
 * The leader's key goes in the same step as the lease it is on, and its revision is the token: so the comparison *is*
 * the leadership, at the very point of etcd's log where the effect takes place. No clock is involved.
 */

import { Keys } from "./keys.ts";

/** What is used of an `Etcd3`: a client of the user's own. */
export interface GuardingClient {
  if(key: Buffer, column: "Mod", comparison: "==", value: string): GuardingTransaction;
}

export interface GuardingTransaction {
  then(...operations: GuardedOperation[]): { commit(): Promise<{ readonly succeeded: boolean }> };
}

/** What `client.put(key).value(value)` and `client.delete().key(key)` make. */
export interface GuardedOperation {
  op(): Promise<object>;
}

export interface GuardedTerm {
  readonly election: string;
  readonly token: bigint;
}

export interface GuardOptions {
  /** The namespace of the backend. @default "elect" */
  readonly namespace?: string;
}

/**
 * Commits `operations` if `term` still leads, in one transaction of `client`; resolves to whether it did. `false`
 * means that the term is over. A rejection means that nobody knows: read what you wrote before you write again.
 *
 * ```ts
 * const written = await guardedTxn(client, term, [client.put("report/latest").value(report)]);
 * ```
 */
export async function guardedTxn(
  client: GuardingClient,
  term: GuardedTerm,
  operations: readonly GuardedOperation[],
  { namespace = "elect" }: GuardOptions = {},
): Promise<boolean> {
  const leader = new Keys(namespace).leader(term.election);
  // The *mod* revision: a key that somebody has overwritten keeps its create revision, and may have lost its lease.
  const transaction = client.if(leader, "Mod", "==", String(term.token)).then(...operations);
  return (await transaction.commit()).succeeded;
}
