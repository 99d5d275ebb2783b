/** What etcd's errors mean. The server's sentences are its protocol: `etcdserver/api/v3rpc/rpctypes/error.go`. */

import { RefusedError } from "@elect/core/adapter";

/** What trying again does not mend, by the words in which the server says so. */
const refusals: readonly { readonly says: RegExp; readonly refusal: string; readonly todo: string }[] = [
  {
    says: /permission denied/,
    refusal: "permission",
    todo: "Grant its user's role readwrite on the prefix of the namespace: etcdctl role grant-permission ROLE --prefix=true readwrite NAMESPACE/",
  },
  {
    says: /authentication failed|user name is empty|user name not found/,
    refusal: "authentication",
    todo: "Give the username and password of a user that it knows.",
  },
  {
    says: /too many operations in txn|request is too large|message larger than max/,
    refusal: "limit",
    todo: "Leave --max-txn-ops at 128 or more and --max-request-bytes at 1.5 MiB or more, which are the defaults.",
  },
];

/** The server has no such lease, any more or yet. */
const noLease = /requested lease not found/;

/** It does not check passwords at all. */
const noAuthentication = /authentication is not enabled/;

/**
 * What a failed call to a member means: a {@link RefusedError}, or that nothing is known. The driver's error is the
 * cause; neither it nor our message holds a credential.
 */
export function meaningOf(error: unknown, member: string): Error {
  if (error instanceof RefusedError) return error;
  const said = wordsOf(error);
  const refused = refusals.find(({ says }) => says.test(said));
  if (refused === undefined) return new Error(`etcd at ${member}: ${said}`, { cause: error });
  return new RefusedError(refused.refusal, `etcd at ${member} refuses: ${said}. ${refused.todo}`, {
    cause: error,
  });
}

export function saysNoLease(error: unknown): boolean {
  return noLease.test(wordsOf(error));
}

export function saysNoAuthentication(error: unknown): boolean {
  return noAuthentication.test(wordsOf(error));
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
