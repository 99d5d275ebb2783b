/**
 * The guarded write: an effect in the same ZooKeeper that happens only while the term's own nodes are there.
 *
 * A check that *some* leader node exists would let a former leader through. So the transaction checks the leader's
 * place in the queue, which no other term ever has: while it exists, nobody else can have become leader (see paths.ts),
 * and it goes in the same transaction as the session. No clock is involved.
 */

import { asError, code, codeOf } from "./errors.ts";
import { decodeRecord, Paths, tokenOf } from "./paths.ts";

/** What is used of a connected `node-zookeeper-client` client of yours. */
export interface GuardingClient<T extends GuardingTransaction> {
  getData(
    path: string,
    done: (error: object | null, data: Buffer | undefined, stat: { readonly czxid: Buffer }) => void,
  ): void;
  transaction(): T;
}

export interface GuardingTransaction {
  check(path: string, version?: number): unknown;
  commit(done: (error: object | null, results?: readonly { readonly err?: number }[]) => void): void;
}

/** A term, or what you kept of it. */
export interface GuardedTerm {
  readonly election: string;
  readonly token: bigint;
}

export interface GuardOptions {
  /** The namespace of the backend. Your client must have the backend's chroot. @default "elect" */
  readonly namespace?: string;
}

/**
 * Commits what `build` adds to a transaction if, and only if, `term` leads; resolves to whether it did. `false` means
 * that the term is over: nothing was done. It rejects with the driver's exception when an operation of yours was
 * refused (nothing was done), or when the connection was lost (nobody knows: read before you write again).
 *
 * @example
 * const written = await guardedMulti(client, term, (transaction) => {
 *   transaction.setData("/report/latest", report);
 * });
 */
export async function guardedMulti<T extends GuardingTransaction>(
  client: GuardingClient<T>,
  term: GuardedTerm,
  build: (transaction: T) => void,
  { namespace = "elect" }: GuardOptions = {},
): Promise<boolean> {
  const leader = new Paths("", namespace).leader(term.election);
  const place = await placeOf(client, leader, term);
  if (place === null) return false;
  const transaction = client.transaction();
  transaction.check(place);
  transaction.check(leader);
  build(transaction);
  return commit(transaction, 2);
}

/** Found once for each term; it never changes. */
const places = new WeakMap<GuardedTerm, string>();

async function placeOf<T extends GuardingTransaction>(
  client: GuardingClient<T>,
  leader: string,
  term: GuardedTerm,
): Promise<string | null> {
  const known = places.get(term) ?? (await readPlace(client, leader, term.token));
  if (known !== null) {
    places.set(term, known);
    return known;
  }
  // The server asked may lag behind the one that made us leader. A write, even a failing one, catches up.
  const sync = client.transaction();
  sync.check(leader);
  if (!(await commit(sync, 1))) return null;
  return readPlace(client, leader, term.token);
}

async function readPlace<T extends GuardingTransaction>(
  client: GuardingClient<T>,
  leader: string,
  token: bigint,
): Promise<string | null> {
  return new Promise((resolve, reject) => {
    client.getData(leader, (error, data, stat) => {
      if (codeOf(error) === code.noNode) return resolve(null);
      if (error !== null) return reject(asError(error));
      const node = tokenOf(stat) === token ? decodeRecord(data)?.place : null;
      resolve(typeof node === "string" ? leader.replace(/[^/]+$/, node) : null);
    });
  });
}

/** `false`: one of the first so many checks found its node gone. */
async function commit(transaction: GuardingTransaction, checks: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    transaction.commit((error, results = []) => {
      if (error === null) return resolve(true);
      const failed = results.findIndex(({ err }) => err !== undefined && err !== 0);
      if (failed !== -1 && failed < checks && results[failed]?.err === code.noNode) resolve(false);
      else reject(asError(error));
    });
  });
}
