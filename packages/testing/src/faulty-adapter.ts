/** The port, with a link that fails between core and an adapter whose calls do not. */

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
} from "@elect/core/adapter";
import type { FaultyLink } from "./faulty-link.ts";

/** By election: what takes the leader's record, or its session, away. */
export type HeldRecords = Map<string, { readonly claim: Claim; remove(): void; endSession(): Promise<void> }>;

/** The tokens of a store that can lose its memory of them. */
export class ForgetfulTokens {
  #highest = 0n;
  #forgotten = 0n;

  forget(): void {
    this.#forgotten = this.#highest;
  }

  minted(token: bigint): bigint {
    if (token > this.#highest) this.#highest = token;
    return token - this.#forgotten;
  }
}

/** What all backends of one store have in common. */
interface Store {
  readonly name: string;
  readonly records: HeldRecords;
  readonly tokens: ForgetfulTokens;
}

export class FaultyAdapter implements Adapter {
  readonly kind: string;
  readonly address: string;
  readonly capabilities: Capabilities;
  readonly #inner: Adapter;
  readonly #link: FaultyLink;
  readonly #store: Store;

  constructor(inner: Adapter, link: FaultyLink, store: Store) {
    this.kind = inner.kind;
    this.address = inner.address;
    this.capabilities = inner.capabilities;
    this.#inner = inner;
    this.#link = link;
    this.#store = store;
  }

  open(request: OpenRequest, call: Call): Promise<Session> {
    return this.#link.carry("open", call, async () => {
      const events = new LinkedEvents(request.events, this.#link);
      const session = await this.#inner.open({ ...request, events }, call);
      return new FaultySession(session, this.#link, this.#store, events);
    });
  }

  end(ticket: string, call: Call): Promise<void> {
    return this.#link.carry("end", call, () => this.#inner.end(ticket, call));
  }

  read(election: string, call: Call): Promise<LeaderRecord | null> {
    return this.#link.carry("read", call, async () => {
      const leader = await this.#inner.read(election, call);
      return leader && { ...leader, token: this.#store.tokens.minted(leader.token) };
    });
  }

  candidates(election: string, call: Call): Promise<readonly CandidateRecord[]> {
    return this.#link.carry("candidates", call, () => this.#inner.candidates(election, call));
  }

  watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    return this.#link.carry("watch", call, async () => {
      const watch = await this.#inner.watch(election, () => void (this.#link.up && changed()), call);
      // After a gap something may have been missed.
      const off = this.#link.on((up) => void (up && changed()));
      return {
        pollMs: watch.pollMs,
        close: () => {
          off();
          watch.close();
        },
      };
    });
  }

  close(call: Call): Promise<void> {
    return this.#inner.close(call);
  }
}

/** What the store has to say reaches us only over a link that is up; after a gap, trying again makes sense. */
class LinkedEvents implements SessionEvents {
  readonly #events: SessionEvents;
  readonly #link: FaultyLink;
  readonly off: () => void;

  constructor(events: SessionEvents, link: FaultyLink) {
    this.#events = events;
    this.#link = link;
    this.off = link.on((up) => {
      if (up) events.hint(null);
      else events.doubt(new Error("the connection to the store was lost, as ordered"));
    });
  }

  hint(election: string | null): void {
    if (this.#link.up) this.#events.hint(election);
  }

  doubt(cause: unknown): void {
    if (this.#link.up) this.#events.doubt(cause);
  }

  lost(claim: Claim, reason: string): void {
    if (this.#link.up) this.#events.lost(claim, reason);
  }

  ended(reason: string): void {
    if (this.#link.up) this.#events.ended(reason);
  }
}

class FaultySession implements Session {
  readonly id: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly proofLagMs: number;
  readonly ticket: string;
  readonly poll: Poll | null;
  readonly warnings: readonly string[];
  readonly #inner: Session;
  readonly #link: FaultyLink;
  readonly #store: Store;
  readonly #events: LinkedEvents;
  /** S4: what was claimed before a disposal and arrives after it is not granted. */
  #generation = 0;

  constructor(inner: Session, link: FaultyLink, store: Store, events: LinkedEvents) {
    this.id = inner.id;
    this.store = store.name;
    this.ttlMs = inner.ttlMs;
    this.proofLagMs = inner.proofLagMs;
    this.ticket = inner.ticket;
    this.poll = inner.poll;
    this.warnings = inner.warnings;
    this.#inner = inner;
    this.#link = link;
    this.#store = store;
    this.#events = events;
  }

  prove(held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof> {
    return this.#link.carry("prove", call, () => this.#inner.prove(held, call));
  }

  claim(requests: readonly ClaimRequest[], call: Call): Promise<readonly ClaimAnswer[]> {
    const generation = this.#generation;
    return this.#link.carry("claim", call, async () => {
      if (generation !== this.#generation) throw new Error("a claim of an older generation");
      const answers = await this.#inner.claim(requests, call);
      const { tokens } = this.#store;
      return answers.map((answer, index) => {
        if (answer.kind === "held" && answer.by !== null) {
          return { ...answer, by: { ...answer.by, token: tokens.minted(answer.by.token) } };
        }
        const request = requests[index];
        if (answer.kind !== "granted" || request === undefined) return answer;
        this.#granted(request, call);
        return { kind: "granted", token: tokens.minted(answer.token) };
      });
    });
  }

  release(claims: readonly Claim[], call: Call): Promise<void> {
    return this.#link.carry("release", call, () => {
      for (const claim of claims) this.#forget(claim);
      return this.#inner.release(claims, call);
    });
  }

  dispose(claims: readonly Claim[], call: Call): Promise<void> {
    return this.#link.carry("dispose", call, () => {
      this.#generation += 1;
      for (const claim of claims) this.#forget(claim);
      return this.#inner.dispose(claims, call);
    });
  }

  end(call: Call): Promise<void> {
    return this.#link.carry("end", call, async () => {
      this.#events.off();
      await this.#inner.end(call);
    });
  }

  abandon(): void {
    this.#events.off();
    this.#inner.abandon();
  }

  #granted(claim: Claim, call: Call): void {
    const lasting: Call = { signal: new AbortController().signal, timeoutMs: call.timeoutMs };
    this.#store.records.set(claim.election, {
      claim,
      remove: () => {
        this.#forget(claim);
        void this.#inner.release([claim], lasting);
        this.#events.lost(claim, "the record was deleted, as ordered");
      },
      endSession: async () => {
        this.#forget(claim);
        await this.#inner.end(lasting);
      },
    });
  }

  #forget(claim: Claim): void {
    if (this.#store.records.get(claim.election)?.claim.nonce === claim.nonce)
      this.#store.records.delete(claim.election);
  }
}
