/** The state behind `memory()`: sessions with leases, elections with a holder and a queue. Each method is one step. */

import type { Clock } from "./clock.ts";
import type { CandidateRecord, Claim, ClaimAnswer, ClaimRequest, Session, SessionEvents } from "./port.ts";

interface Member {
  readonly session: string;
  readonly nonce: string;
  readonly candidate: CandidateRecord;
}

interface Holder extends Member {
  readonly token: bigint;
}

interface ElectionRecord {
  holder: Holder | null;
  queue: Member[];
  watchers: Set<() => void>;
}

interface SessionRecord {
  readonly ttlMs: number;
  readonly events: SessionEvents;
  leaseUntil: number;
}

export class MemoryStore {
  readonly id: string;
  readonly #clock: Clock;
  readonly #sessions = new Map<string, SessionRecord>();
  readonly #elections = new Map<string, ElectionRecord>();
  #token = 0n;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.id = `memory:${clock.nonce()}`;
  }

  open(session: string, ttlMs: number, events: SessionEvents): void {
    this.#sessions.set(session, { ttlMs, events, leaseUntil: this.#clock.now() + ttlMs });
  }

  /** S1: a session whose lease is over is dead from the first look that finds it so. */
  alive(session: string): boolean {
    const record = this.#sessions.get(session);
    if (record === undefined) return false;
    if (this.#clock.now() < record.leaseUntil) return true;
    this.end(session);
    return false;
  }

  prove(session: string): boolean {
    const record = this.#sessions.get(session);
    if (record === undefined || !this.alive(session)) return false;
    record.leaseUntil = this.#clock.now() + record.ttlMs;
    return true;
  }

  claim(session: string, request: ClaimRequest): ClaimAnswer {
    const { election, nonce, candidate } = request;
    const record = this.#election(election);
    const holder = this.holder(election);
    if (holder !== null && this.holds(session, request)) return { kind: "granted", token: holder.token };
    if (!record.queue.some((member) => member.nonce === nonce))
      record.queue.push({ session, nonce, candidate });
    record.queue = record.queue.filter((member) => this.alive(member.session));
    if (holder === null && record.queue[0]?.nonce === nonce) {
      record.queue.shift();
      this.#token += 1n;
      record.holder = { session, nonce, candidate, token: this.#token };
      this.#changed(record);
      return { kind: "granted", token: this.#token };
    }
    const awaited = this.#sessions.get((holder ?? record.queue[0])?.session ?? "");
    return {
      kind: "held",
      by: holder && { ...holder.candidate, token: holder.token },
      retryInMs: Math.max(0, (awaited?.leaseUntil ?? 0) - this.#clock.now()) + 1,
      patience: null,
    };
  }

  holds(session: string, { election, nonce }: Claim): boolean {
    const holder = this.#elections.get(election)?.holder;
    return holder?.session === session && holder.nonce === nonce;
  }

  release(session: string, { election, nonce }: Claim): void {
    const record = this.#elections.get(election);
    if (record === undefined) return;
    const wasFirst = record.queue[0]?.nonce === nonce;
    record.queue = record.queue.filter((member) => member.nonce !== nonce || member.session !== session);
    if (this.holds(session, { election, nonce })) this.#vacate(election, record);
    else if (wasFirst) this.#wake(election, record);
  }

  end(session: string): void {
    const record = this.#sessions.get(session);
    if (record === undefined) return;
    this.#sessions.delete(session);
    for (const [name, election] of this.#elections) {
      election.queue = election.queue.filter((member) => member.session !== session);
      if (election.holder?.session === session) this.#vacate(name, election);
    }
    record.events.ended("it was ended");
  }

  holder(election: string): Holder | null {
    const holder = this.#elections.get(election)?.holder ?? null;
    // Looking at its session ends it, and empties the record, if its lease is over.
    return holder !== null && this.alive(holder.session) ? holder : null;
  }

  candidates(election: string): CandidateRecord[] {
    const holder = this.holder(election);
    const queue = this.#elections.get(election)?.queue.filter((member) => this.alive(member.session));
    return [holder ?? [], queue ?? []].flat().map((member) => member.candidate);
  }

  watch(election: string, changed: () => void): () => void {
    const { watchers } = this.#election(election);
    watchers.add(changed);
    return () => void watchers.delete(changed);
  }

  #vacate(name: string, election: ElectionRecord): void {
    election.holder = null;
    this.#changed(election);
    this.#wake(name, election);
  }

  /** One waiter is woken, the first in the queue whose session lives. */
  #wake(name: string, election: ElectionRecord): void {
    if (election.holder !== null) return;
    const next = election.queue.find((member) => this.alive(member.session));
    if (next !== undefined) this.#sessions.get(next.session)?.events.hint(name);
  }

  #changed(election: ElectionRecord): void {
    for (const watcher of [...election.watchers]) watcher();
  }

  #election(name: string): ElectionRecord {
    let election = this.#elections.get(name);
    if (election === undefined)
      this.#elections.set(name, (election = { holder: null, queue: [], watchers: new Set() }));
    return election;
  }
}

/** A session is a name in the store; nothing stands between, so no claim of it can be late (S4). */
export function memorySession(store: MemoryStore, id: string, ttlMs: number, events: SessionEvents): Session {
  store.open(id, ttlMs, events);
  const release = async (claims: readonly Claim[]): Promise<void> => {
    for (const claim of claims) store.release(id, claim);
  };
  return {
    id,
    store: store.id,
    ttlMs,
    proofLagMs: 0,
    ticket: id,
    poll: null,
    warnings: [],
    async prove(held) {
      if (!store.prove(id)) return { kind: "dead", reason: "it was ended" };
      const lost = [...held.values()].filter((claim) => !store.holds(id, claim));
      return { kind: "alive", ttlMs, covers: "all", lost };
    },
    async claim(requests) {
      if (!store.alive(id)) throw new Error("the session was ended");
      return requests.map((request) => store.claim(id, request));
    },
    release,
    dispose: release,
    async end() {
      store.end(id);
    },
    abandon() {},
  };
}
