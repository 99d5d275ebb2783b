/**
 * ZooKeeper's language: where things are, in which order candidates wait, and what their nodes hold.
 *
 *     <chroot>/<namespace>/sessions/<nonce>               ephemeral; every proof writes to it
 *                         /sessions/<nonce>.generation    ephemeral; its version is the session's generation (S4)
 *                         /elections/<name>/c-<session>-<nonce>-<n>
 *                                                         ephemeral, sequential: a candidate's place in the queue
 *                         /elections/<name>/leader        ephemeral: who leads; its czxid is the fencing token
 *
 * What must stay true: a leader node is created only in one multi with a check of its creator's place, and only by
 * the candidate whose place is the first. Hence, while a place exists, nobody behind it leads; and a leader whose
 * place exists is the leader (which is what the guarded write checks).
 */

import type { CandidateRecord, LeaderRecord } from "@elect/core/adapter";
import type { Stat } from "./driver.ts";

export class Paths {
  readonly base: string;
  readonly sessions: string;
  readonly elections: string;

  /** `chroot` is `""` or begins with a slash. */
  constructor(chroot: string, namespace: string) {
    this.base = `${chroot}/${namespace}`;
    this.sessions = `${this.base}/sessions`;
    this.elections = `${this.base}/elections`;
  }

  session(nonce: string): string {
    return `${this.sessions}/${nonce}`;
  }

  generation(nonce: string): string {
    return `${this.sessions}/${nonce}.generation`;
  }

  election(name: string): string {
    return `${this.elections}/${encodeName(name)}`;
  }

  leader(name: string): string {
    return `${this.election(name)}/leader`;
  }

  place(name: string, node: string): string {
    return `${this.election(name)}/${node}`;
  }
}

/** Any name becomes one path segment, and no two names the same one. ZooKeeper reserves `.` and `..`. */
export function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/^\.{1,2}$/, (dots) => dots.replaceAll(".", "%2E"));
}

/** The path with all its parents, from the top: what must be created, in this order. */
export function withParents(path: string): string[] {
  const segments = path.split("/").slice(1);
  return segments.map((_, index) => `/${segments.slice(0, index + 1).join("/")}`);
}

/** Whose place or leader node it is: the session's id, and the claim's nonce (which outlives a session: S2). */
export interface Owner {
  readonly session: Buffer;
  readonly nonce: string;
}

/** One candidate's place in a queue, as its node's name tells it. */
export interface Place {
  readonly node: string;
  readonly session: string;
  readonly nonce: string;
  readonly sequence: number;
}

/** What `create` takes for a sequential node: the server appends the number. */
export function placePrefix({ session, nonce }: Owner): string {
  return `c-${session.toString("hex")}-${nonce}-`;
}

/** The first place in a queue whose parent was created in the same multi: its counter starts at 0. */
export function firstPlace(owner: Owner): string {
  return `${placePrefix(owner)}0000000000`;
}

export function isOwnPlace(place: Place, { session, nonce }: Owner): boolean {
  return place.nonce === nonce && place.session === session.toString("hex");
}

const placeName = /^c-([0-9a-f]{16})-([^-]+)-(-?\d+)$/;

/**
 * The places among an election's children, first come first. Everything else (`leader`, what others put there) is
 * left out. The counter is a signed 32-bit number (ZK-10). Some servers let it run on from 2147483647 to -2147483648: no
 * queue is 2³¹ places long, so the difference, wrapped to 32 bits, says which of two is the older. Others (3.9) stay at
 * 2147483647 for as long as the node lives: there, those that are left without an order get the order of their names,
 * which is nobody's turn, but the same for all who look.
 */
export function inWaitingOrder(children: readonly string[]): Place[] {
  const places: Place[] = [];
  for (const node of children) {
    const [, session, nonce, digits] = placeName.exec(node) ?? [];
    if (session === undefined || nonce === undefined || digits === undefined) continue;
    places.push({ node, session, nonce, sequence: Number(digits) });
  }
  return places.toSorted((a, b) => (a.sequence - b.sequence) | 0 || (a.node < b.node ? -1 : 1));
}

/** What a place and a leader node hold. `place` is the leader's place, by which a guarded write knows it. */
export interface NodeRecord extends CandidateRecord {
  readonly nonce: string;
  readonly place: string | null;
}

const format = 1;

export function encodeRecord(record: NodeRecord): Buffer {
  return Buffer.from(JSON.stringify({ v: format, ...record }));
}

/** `null`: somebody else's data, or a later version's. */
export function decodeRecord(data: Buffer | undefined): NodeRecord | null {
  let value: unknown;
  try {
    value = JSON.parse(data?.toString() ?? "");
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const { v, id, metadata, nonce, place } = value as Partial<Record<string, unknown>>;
  if (v !== format || typeof id !== "string" || typeof metadata !== "string" || typeof nonce !== "string")
    return null;
  return { id, metadata, nonce, place: typeof place === "string" ? place : null };
}

/** A node as it was read. */
export interface Node {
  readonly data: Buffer | undefined;
  readonly stat: Stat;
}

/** `null`: there is none, or it is not ours to read. */
export function leaderOf(node: Node | null): LeaderRecord | null {
  const record = node === null ? null : decodeRecord(node.data);
  if (node === null || record === null) return null;
  return { id: record.id, metadata: record.metadata, token: tokenOf(node.stat) };
}

/** The fencing token: the zxid of the transaction that created the leader node (epoch << 32 | counter). */
export function tokenOf(stat: Pick<Stat, "czxid">): bigint {
  return stat.czxid.readBigInt64BE(0);
}

/** Whether the node belongs to this session and this claim. */
export function isOwn(node: Node | null, { session, nonce }: Owner): node is Node {
  return (
    node !== null && node.stat.ephemeralOwner.equals(session) && decodeRecord(node.data)?.nonce === nonce
  );
}
