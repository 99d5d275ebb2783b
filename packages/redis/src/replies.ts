/** What the scripts answer, as the port has it. */

import type { ClaimAnswer, LeaderRecord } from "@elect/core/adapter";

export function answerFrom(entry: unknown): ClaimAnswer {
  const [kind, value = "", token, candidate] = texts(entry);
  if (kind === "granted") return { kind, token: BigInt(value) };
  if (kind !== "held") throw unexpected(entry);
  const by = token === undefined || candidate === undefined ? null : leaderFrom(token, candidate);
  return { kind, by, retryInMs: Number(value), patience: null };
}

export function leaderFrom(token: string, candidate: string): LeaderRecord {
  const [id = "", metadata = "null"] = texts(JSON.parse(candidate));
  return { id, token: BigInt(token), metadata };
}

export function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

export function unexpected(reply: unknown): Error {
  return new Error(`Redis answered a script with ${String(JSON.stringify(reply)).slice(0, 200)}`);
}
