/**
 * What can be watched from outside through `node:diagnostics_channel`. Costs next to nothing while nobody subscribes.
 * Subscribers must be fast; one that throws is reported by Node and does not reach us.
 *
 * | channel         | message                                                                 | when |
 * | --------------- | ----------------------------------------------------------------------- | ---- |
 * | `elect:session` | `{ store, session, ttl, event: "opened" \| "ended", reason?, warnings }` | a session began or is over |
 * | `elect:proof`   | `{ store, session, took, outcome, error? }`                             | a proof was answered, or was not |
 * | `elect:term`    | `{ store, election, candidate, token, event: "elected" \| "lost" \| "overdue", reason? }` | a term began, ended, or its work outlives the drain limit |
 * | `elect:trouble` | `{ store, during, error }`                                              | the store failed us and we are trying again |
 * | `elect:listener`| `{ election, event, error }`                                            | a listener of yours threw |
 */

import { channel } from "node:diagnostics_channel";

export interface SessionMessage {
  store: string;
  session: string;
  ttl: number;
  event: "opened" | "ended";
  /** Why it ended. */
  reason?: string | undefined;
  /** What an operator should change. */
  warnings: readonly string[];
}

export interface ProofMessage {
  store: string;
  session: string;
  /** Milliseconds from sending to the answer. */
  took: number;
  outcome: "alive" | "dead" | "unknown";
  /** Why it is unknown. */
  error?: unknown;
}

export interface TermMessage {
  store: string;
  election: string;
  candidate: string;
  token: bigint;
  event: "elected" | "lost" | "overdue";
  reason?: string | undefined;
}

export interface TroubleMessage {
  store: string;
  during: "open" | "prove" | "claim" | "release" | "dispose" | "end" | "close" | "observe";
  error: unknown;
}

export interface ListenerMessage {
  election: string;
  event: string;
  error: unknown;
}

interface Messages {
  session: SessionMessage;
  proof: ProofMessage;
  term: TermMessage;
  trouble: TroubleMessage;
  listener: ListenerMessage;
}

/** `message` is a function so that nothing is built for nobody. */
export function publish<Name extends keyof Messages>(name: Name, message: () => Messages[Name]): void {
  const subscribers = channel(`elect:${name}`);
  if (subscribers.hasSubscribers) subscribers.publish(message());
}
