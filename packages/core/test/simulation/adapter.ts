/** The port onto the simulated store, for one process. */

import type {
  Adapter,
  Call,
  CandidateRecord,
  Capabilities,
  Claim,
  ClaimAnswer,
  ClaimRequest,
  LeaderRecord,
  OpenRequest,
  Poll,
  Proof,
  Session,
  SessionEvents,
  Watch,
} from "../../src/port.ts";
import type { Link } from "./link.ts";
import type { Store } from "./store.ts";

export class SimulatedAdapter implements Adapter {
  readonly kind = "simulated";
  readonly address: string;
  readonly capabilities: Capabilities = {
    reach: "network",
    crash: { ttls: 1, plusMs: 0 },
    stopped: { ttls: 1, plusMs: 0 },
    order: "none",
    maxTtlMs: 3_600_000,
    limits: [],
  };
  /** At the next claim. */
  onClaim: (() => void) | null = null;
  /** Of all sessions that were asked for. */
  readonly sessions = new Map<string, SessionEvents>();
  readonly #store: Store;
  readonly #link: Link;

  constructor(address: string, store: Store, link: Link) {
    this.address = address;
    this.#store = store;
    this.#link = link;
  }

  async open({ ttlMs, nonce, events }: OpenRequest, call: Call): Promise<Session> {
    const link = this.#link;
    this.sessions.set(nonce, events);
    const pushed: SessionEvents = {
      hint: (election) => link.push(() => events.hint(election)),
      doubt: (cause) => link.push(() => events.doubt(cause)),
      lost: (claim, reason) => link.push(() => events.lost(claim, reason)),
      ended: (reason) => link.push(() => events.ended(reason)),
    };
    const granted = await link.carry(call, () => this.#store.open(nonce, ttlMs, pushed));
    const claiming = (): void => {
      this.onClaim?.();
      this.onClaim = null;
    };
    return new SimulatedSession(this.address, nonce, granted, this.#store, link, claiming);
  }

  end(ticket: string, call: Call): Promise<void> {
    return this.#link.carry(call, () => this.#store.end(ticket));
  }

  read(election: string, call: Call): Promise<LeaderRecord | null> {
    return this.#link.carry(call, () => this.#store.read(election));
  }

  candidates(election: string, call: Call): Promise<readonly CandidateRecord[]> {
    return this.#link.carry(call, () => [this.#store.read(election)].filter((leader) => leader !== null));
  }

  watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    return this.#link.carry(call, () => {
      const { watchers } = this.#store;
      const watcher = (name: string): void => void (name === election && this.#link.push(changed));
      watchers.add(watcher);
      return { pollMs: 2_000, close: () => void watchers.delete(watcher) };
    });
  }

  async close(): Promise<void> {}
}

class SimulatedSession implements Session {
  readonly id: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly proofLagMs: number;
  readonly ticket: string;
  readonly poll: Poll | null;
  readonly warnings: readonly string[] = [];
  readonly #store: Store;
  readonly #link: Link;
  readonly #claiming: () => void;
  #generation = 0;

  constructor(process: string, id: string, ttlMs: number, store: Store, link: Link, claiming: () => void) {
    this.#claiming = claiming;
    this.id = this.ticket = id;
    // What one process knows of tokens, another one does not: in the simulation, all share one memory.
    this.store = process;
    this.ttlMs = ttlMs;
    this.proofLagMs = store.kind.lagMs;
    this.#store = store;
    this.#link = link;
    const { pollMs } = store.kind;
    this.poll =
      pollMs === null
        ? null
        : {
            everyMs: pollMs,
            look: (waiting) => store.free(new Set([...waiting.values()].map(({ election }) => election))),
          };
  }

  prove(held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof> {
    const claims = [...held.values()];
    return this.#link.carry(call, () => this.#store.prove(this.id, claims, call.signal.aborted));
  }

  claim(
    requests: readonly ClaimRequest[],
    call: Call,
    heard: (index: number, answer: ClaimAnswer) => void,
  ): Promise<readonly ClaimAnswer[]> {
    this.#claiming();
    const generation = this.#generation;
    let over = false;
    const tell = (answers: readonly ClaimAnswer[]): void => {
      if (!this.#store.kind.tellsEarly) return;
      for (const [index, answer] of answers.entries()) {
        if (answer.kind !== "granted") continue;
        this.#link.push(() => {
          if (!over) heard(index, answer);
        });
      }
    };
    return this.#link
      .carry(call, () => {
        const answers = this.#store.claim(this.id, generation, requests);
        tell(answers);
        return answers;
      })
      .finally(() => (over = true));
  }

  release(claims: readonly Claim[], call: Call): Promise<void> {
    return this.#link.carry(call, () => this.#store.release(this.id, claims));
  }

  dispose(claims: readonly Claim[], call: Call): Promise<void> {
    const generation = ++this.#generation;
    return this.#link.carry(call, () => this.#store.dispose(this.id, generation, claims));
  }

  end(call: Call): Promise<void> {
    return this.#link.carry(call, () => this.#store.end(this.id));
  }

  abandon(): void {}
}
