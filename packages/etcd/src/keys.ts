/**
 * Where things are in etcd, and what their values are:
 *
 * ```
 * elect/sessions/<session>                     the session: its generation, on its lease
 * elect/elections/<name>/queue/<candidate>     one who waits or leads, in order of create revision, on its session's lease
 * elect/elections/<name>/leader                who leads, on its session's lease; its mod revision is the token
 * ```
 *
 * An election's name is percent-encoded, so that no name is a part of another's keys. Ranges end at the slash's
 * successor, so that a range is exactly what begins with its prefix.
 */

import type { CandidateRecord, LeaderRecord } from "@elect/core/adapter";
import type { KeyValue } from "./client.ts";

export interface KeyRange {
  readonly key: Buffer;
  readonly range_end: Buffer;
}

export class Keys {
  readonly #namespace: string;

  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  session(session: string): Buffer {
    return Buffer.from(`${this.#namespace}/sessions/${session}`);
  }

  leader(election: string): Buffer {
    return Buffer.from(`${this.#election(election)}/leader`);
  }

  place(election: string, mark: string): Buffer {
    return Buffer.from(`${this.#election(election)}/queue/${mark}`);
  }

  queue(election: string): KeyRange {
    const within = `${this.#election(election)}/queue`;
    return { key: Buffer.from(`${within}/`), range_end: Buffer.from(`${within}0`) };
  }

  #election(election: string): string {
    return `${this.#namespace}/elections/${encodeURIComponent(election)}`;
  }
}

/** The same width for ever, so that etcd's comparison of values, byte by byte, compares generations. */
export function generationValue(generation: number): Buffer {
  return Buffer.from(String(generation).padStart(16, "0"));
}

/** Session and nonce (S2): a place that an older session of ours left behind is not ours. */
export function markOf(session: string, nonce: string): string {
  return `${nonce}.${session}`;
}

/** The value of a candidate's and of a leader's key: three lines, none of which can hold a line feed but the last. */
export function recordValue(mark: string, { id, metadata }: CandidateRecord): Buffer {
  return Buffer.from(`${mark}\n${id}\n${metadata}`);
}

export interface KeptRecord extends CandidateRecord {
  readonly mark: string;
}

/** `null` for what we did not write. */
export function recordOf({ value }: KeyValue): KeptRecord | null {
  const [, mark, id, metadata] =
    /^([0-9a-f]+\.[0-9a-f]+)\n([^\n]+)\n([^]*)$/.exec(value.toString("utf8")) ?? [];
  if (mark === undefined || id === undefined || metadata === undefined) return null;
  return { mark, id, metadata };
}

/** The leader that a leader key names: nobody if it is not there, or was put there (without a lease) by somebody else. */
export function leaderOf(kv: KeyValue | undefined): (LeaderRecord & KeptRecord) | null {
  if (kv === undefined || kv.lease === "0") return null;
  const record = recordOf(kv);
  return record === null ? null : { ...record, token: BigInt(kv.mod_revision) };
}

/**
 * Between these two values are exactly those that begin with this mark: etcd compares values as bytes and has no
 * "begins with", and what follows the mark comes before the tilde.
 */
export function valuesOf(mark: string): { readonly above: Buffer; readonly below: Buffer } {
  return { above: Buffer.from(mark), below: Buffer.from(`${mark}~`) };
}
