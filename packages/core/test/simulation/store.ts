/**
 * A store that keeps the rules of the port (S1 to S6) and no others: which kind of store it is (queue or none, pushes
 * or polls, a lease that it judges itself or one that challengers time, proofs that lag) differs from seed to seed.
 * Each method is one step, at the moment in which a request arrives.
 */

import type {
  CandidateRecord,
  Claim,
  ClaimAnswer,
  ClaimRequest,
  LeaderRecord,
  Proof,
  SessionEvents,
} from "../../src/port.ts";
import type { Chance } from "./chance.ts";
import type { StoreKind } from "./store-kind.ts";
import type { Timeline } from "./timeline.ts";

interface SessionRecord {
  readonly id: string;
  readonly ttlMs: number;
  readonly events: SessionEvents;
  leaseUntil: number;
  /** S4: claims of an older generation are refused. */
  generation: number;
  /** Its server died: the next proof goes to another. */
  reconnects: boolean;
  provenLate: boolean;
}

interface Member {
  readonly session: string;
  readonly nonce: string;
  readonly candidate: CandidateRecord;
}

interface Holder extends Member {
  readonly token: bigint;
  readonly leaseMs: number;
  version: number;
}

/** Each is another store, whatever the seed: core remembers for the life of the process which tokens it saw where. */
let stores = 0;

export class Store {
  readonly id: number = ++stores;
  readonly kind: StoreKind;
  readonly watchers = new Set<(election: string) => void>();
  readonly #timeline: Timeline;
  readonly #chance: Chance;
  /** Told when a record becomes free because its own session said so. */
  readonly freed: (election: string, token: bigint) => void;
  readonly #sessions = new Map<string, SessionRecord>();
  readonly #holders = new Map<string, Holder>();
  readonly #queues = new Map<string, Member[]>();
  readonly #touches = new Set<{ cancel(): void }>();
  #token = 0n;
  #extendedAt = -Infinity;

  constructor(kind: StoreKind, timeline: Timeline, chance: Chance, freed: Store["freed"]) {
    this.kind = kind;
    this.#timeline = timeline;
    this.#chance = chance;
    this.freed = freed;
  }

  open(id: string, askedMs: number, events: SessionEvents): number {
    const ttlMs = askedMs * this.kind.generosity;
    const leaseUntil = this.#timeline.now + ttlMs;
    const session = { id, ttlMs, events, leaseUntil, generation: 0, reconnects: false, provenLate: false };
    this.#sessions.set(id, session);
    if (this.kind.sweeps) this.#sweep(id);
    return ttlMs;
  }

  /** S1: a session is dead from the first look that finds its lease over, and free from then on is what it held. */
  alive(id: string): boolean {
    const session = this.#sessions.get(id);
    if (session === undefined) return false;
    if (this.kind.judge === "patience" || this.#timeline.now < session.leaseUntil) return true;
    this.#bury(session);
    return false;
  }

  /** `late`: nobody waits for the answer any more, nor knows that the proof arrived after all. */
  prove(id: string, held: readonly Claim[], late: boolean): Proof {
    const session = this.#sessions.get(id);
    if (session === undefined || !this.alive(id)) return { kind: "dead", reason: "the lease ran out" };
    const arrived = this.#timeline.now;
    // To connect to another server is to be touched.
    if (this.kind.lagMs === 0 || session.reconnects) session.leaseUntil = arrived + session.ttlMs;
    else this.#touchLater(session, arrived);
    session.reconnects = false;
    session.provenLate ||= late;
    for (const holder of this.#holders.values()) if (holder.session === id) holder.version += 1;
    const lost = held.filter((claim) => !this.#holds(id, claim));
    return { kind: "alive", ttlMs: session.ttlMs, covers: "all", lost };
  }

  claim(id: string, generation: number, requests: readonly ClaimRequest[]): ClaimAnswer[] {
    const session = this.#sessions.get(id);
    if (session === undefined || !this.alive(id)) throw new Error("the session is over");
    if (generation < session.generation) throw new Error("a claim of an older generation");
    return requests.map((request) => this.#claimOne(session, request));
  }

  release(id: string, claims: readonly Claim[]): void {
    for (const claim of claims) {
      const { election, nonce } = claim;
      const queue = this.#queue(election);
      const wasFirst = queue[0]?.nonce === nonce;
      this.#queues.set(
        election,
        queue.filter((member) => member.nonce !== nonce || member.session !== id),
      );
      const holder = this.#holders.get(election);
      if (holder !== undefined && this.#holds(id, claim)) {
        this.freed(election, holder.token);
        this.#vacate(election);
      } else if (wasFirst) this.#wake(election);
    }
  }

  dispose(id: string, generation: number, claims: readonly Claim[]): void {
    const session = this.#sessions.get(id);
    if (session === undefined || generation < session.generation) return;
    session.generation = generation;
    this.release(id, claims);
  }

  end(id: string): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    for (const [election, holder] of this.#holders)
      if (holder.session === id) this.freed(election, holder.token);
    this.#bury(session);
  }

  read(election: string): LeaderRecord | null {
    const holder = this.#holder(election);
    return holder === null ? null : { ...holder.candidate, token: holder.token };
  }

  /** For stores that are looked at: the elections that nobody holds. */
  free(elections: Iterable<string>): string[] {
    return [...elections].filter((election) => this.#holder(election) === null);
  }

  /** The server that took the last proofs is gone before it told the others. */
  forgetTouches(): void {
    for (const touch of this.#touches) touch.cancel();
    this.#touches.clear();
    for (const session of this.#sessions.values()) session.reconnects = true;
  }

  /** A restart: nothing is forgotten, and some stores give every session its full lease again. */
  restart(): void {
    this.forgetTouches();
    if (this.#chance.hits(0.5)) return;
    this.#extendedAt = this.#timeline.now;
    for (const session of this.#sessions.values())
      session.leaseUntil = Math.max(session.leaseUntil, this.#timeline.now + session.ttlMs);
  }

  /** An operator deletes the record of the leader. Answers with its token. */
  remove(election: string): bigint | null {
    const holder = this.#holder(election);
    if (holder === null) return null;
    this.#vacate(election);
    if (this.#chance.hits(0.5)) {
      const { nonce, session } = holder;
      this.#sessions.get(session)?.events.lost({ election, nonce }, "deleted by an operator");
    }
    return holder.token;
  }

  /** An operator ends the session of the leader. Answers with the tokens that it held. */
  kill(election: string): bigint[] {
    const holder = this.#holder(election);
    const session = holder === null ? undefined : this.#sessions.get(holder.session);
    if (session === undefined) return [];
    const held = [...this.#holders.values()].filter(({ session: id }) => id === session.id);
    this.#bury(session);
    return held.map(({ token }) => token);
  }

  /** What names one of these sessions, as long as it lives: records, and places in the queue. */
  leftBy(sessions: ReadonlySet<string>): { held: string[]; queued: string[] } {
    const { now } = this.#timeline;
    // Where challengers judge, and after a restart that gave all their leases again, nobody can know for how long.
    if (this.kind.judge === "patience" || now < this.#extendedAt + 60_000) return { held: [], queued: [] };
    const names = ({ session }: Member): boolean =>
      sessions.has(session) && this.alive(session) && this.#sessions.get(session)?.provenLate === false;
    const held = [...this.#holders].filter(([, holder]) => names(holder));
    const queued = [...this.#queues].filter(([, queue]) => queue.some(names));
    return { held: held.map(([election]) => election), queued: queued.map(([election]) => election) };
  }

  #claimOne(session: SessionRecord, request: ClaimRequest): ClaimAnswer {
    const { election, nonce, candidate, unchanged } = request;
    const member: Member = { session: session.id, nonce, candidate };
    let holder = this.#holder(election);
    // S2: our own record is ours, unchanged; of another nonce, it is another's.
    if (holder?.session === session.id && holder.nonce === nonce)
      return { kind: "granted", token: holder.token };
    if (this.kind.judge === "patience" && holder !== null && versionOf(holder) === unchanged) {
      this.#holders.delete(election);
      holder = null;
    }
    const queue = this.#queue(election);
    if (!queue.some((other) => other.nonce === nonce)) queue.push(member);
    const first = this.kind.order === "fifo" ? queue[0] : member;
    if (holder === null && first?.nonce === nonce) {
      this.#queues.set(
        election,
        queue.filter((other) => other.nonce !== nonce),
      );
      this.#token += BigInt(this.#chance.whole(1, 3));
      const granted: Holder = { ...member, token: this.#token, leaseMs: session.ttlMs, version: 0 };
      this.#holders.set(election, granted);
      this.#changed(election);
      return { kind: "granted", token: granted.token };
    }
    return this.#held(holder, first);
  }

  #held(holder: Holder | null, first: Member | undefined): ClaimAnswer {
    const awaited = this.#sessions.get((holder ?? first)?.session ?? "");
    const when = this.kind.saysWhen && this.kind.judge === "lease" && awaited !== undefined;
    const patience =
      this.kind.judge === "patience" && holder !== null
        ? { version: versionOf(holder), leaseMs: holder.leaseMs }
        : null;
    return {
      kind: "held",
      by: holder === null ? null : { ...holder.candidate, token: holder.token },
      retryInMs: when ? Math.max(0, awaited.leaseUntil - this.#timeline.now) + 1 : null,
      patience,
    };
  }

  #touchLater(session: SessionRecord, arrived: number): void {
    const touch = this.#timeline.in(this.#chance.between(0, this.kind.lagMs), null, () => {
      session.leaseUntil = Math.max(session.leaseUntil, arrived + session.ttlMs);
    });
    this.#touches.add(touch);
  }

  #holder(election: string): Holder | null {
    const holder = this.#holders.get(election);
    return holder !== undefined && this.alive(holder.session) ? holder : null;
  }

  #holds(id: string, { election, nonce }: Claim): boolean {
    const holder = this.#holders.get(election);
    return holder?.session === id && holder.nonce === nonce;
  }

  #queue(election: string): Member[] {
    const queue = (this.#queues.get(election) ?? []).filter((member) => this.alive(member.session));
    this.#queues.set(election, queue);
    return queue;
  }

  #bury(session: SessionRecord): void {
    this.#sessions.delete(session.id);
    for (const [election, holder] of [...this.#holders])
      if (holder.session === session.id) this.#vacate(election);
    session.events.ended("the store says so");
  }

  #vacate(election: string): void {
    this.#holders.delete(election);
    this.#changed(election);
    this.#wake(election);
  }

  #wake(election: string): void {
    if (this.#holders.has(election) || !this.#chance.hits(this.kind.pushes)) return;
    const [next] = this.#queue(election);
    if (next !== undefined) this.#sessions.get(next.session)?.events.hint(election);
  }

  #changed(election: string): void {
    for (const watcher of [...this.watchers]) watcher(election);
  }

  #sweep(id: string): void {
    const session = this.#sessions.get(id);
    if (session === undefined || !this.alive(id)) return;
    this.#timeline.in(session.leaseUntil - this.#timeline.now + 1, null, () => this.#sweep(id));
  }
}

/** Never the same for two holders. */
function versionOf({ token, version }: Holder): string {
  return `${token}.${version}`;
}
