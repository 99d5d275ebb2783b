/** A store that answers what, and when, the test says. Left alone, it grants everything at once. */

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

/** How each operation is answered. A test replaces any of them, at any time. */
export interface Answers {
  open(request: OpenRequest, call: Call): Promise<void>;
  prove(held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof>;
  claim(requests: readonly ClaimRequest[], call: Call, heard: Hear): Promise<readonly ClaimAnswer[]>;
  release(claims: readonly Claim[], call: Call): Promise<void>;
  dispose(claims: readonly Claim[], call: Call): Promise<void>;
  end(call: Call): Promise<void>;
  read(election: string, call: Call): Promise<LeaderRecord | null>;
  candidates(election: string, call: Call): Promise<readonly CandidateRecord[]>;
  watch(election: string, call: Call): Promise<{ pollMs: number }>;
  close(call: Call): Promise<void>;
}

export type Hear = (index: number, answer: ClaimAnswer) => void;

export type Operation = keyof Answers;

/** One call that core made. */
export interface PortCall {
  readonly operation: Operation;
  readonly at: number;
  readonly session: ScriptedSession | null;
  /** What was claimed, released, disposed of or, for a proof, held. */
  readonly claims: readonly Claim[];
  readonly requests: readonly ClaimRequest[];
  readonly call: Call;
}

/** A call that core makes and that is answered when the test says so. */
export interface Held<Answer> {
  /** Settles when core has made the call. */
  readonly asked: Promise<PortCall>;
  answer(value: Answer): void;
  fail(error?: Error): void;
}

/** What the sessions opened from now on are like. */
export interface SessionTerms {
  /** `null`: as asked. */
  ttlMs: number | null;
  proofLagMs: number;
  poll: Poll | null;
  warnings: readonly string[];
}

interface Gate {
  readonly asked: PromiseWithResolvers<PortCall>;
  readonly answer: PromiseWithResolvers<unknown>;
}

export class ScriptedStore implements Adapter {
  readonly kind = "scripted";
  readonly address = "scripted://host:1";
  readonly capabilities: Capabilities = {
    reach: "process",
    crash: { ttls: 1, plusMs: 0 },
    stopped: { ttls: 1, plusMs: 0 },
    order: "none",
    maxTtlMs: 3_600_000,
    limits: [],
  };
  readonly id: string = `scripted-${++stores}`;
  readonly calls: PortCall[] = [];
  readonly sessions: ScriptedSession[] = [];
  /** Call one to say that the leader may have changed. */
  readonly watchers = new Set<() => void>();
  readonly terms: SessionTerms = { ttlMs: null, proofLagMs: 0, poll: null, warnings: [] };
  readonly answers: Answers;
  readonly #now: () => number;
  readonly #gates = new Map<Operation, Gate[]>();
  #token = 0n;

  constructor(now: () => number = () => 0) {
    this.#now = now;
    this.answers = {
      open: async () => {},
      prove: async () => alive(this.session.ttlMs),
      claim: async (requests) => requests.map(() => granted(++this.#token)),
      release: async () => {},
      dispose: async () => {},
      end: async () => {},
      read: async () => null,
      candidates: async () => [],
      watch: async () => ({ pollMs: 1_000 }),
      close: async () => {},
    };
  }

  /** The session opened last. */
  get session(): ScriptedSession {
    const session = this.sessions.at(-1);
    if (session === undefined) throw new Error("no session was opened");
    return session;
  }

  /** The calls of one operation so far. */
  of(operation: Operation): PortCall[] {
    return this.calls.filter((call) => call.operation === operation);
  }

  /** The operations called so far, in order. */
  get operations(): Operation[] {
    return this.calls.map((call) => call.operation);
  }

  /** The next call of the operation waits until it is answered here. */
  hold<Name extends Operation>(operation: Name): Held<Awaited<ReturnType<Answers[Name]>>> {
    const gate: Gate = { asked: Promise.withResolvers(), answer: Promise.withResolvers() };
    gate.answer.promise.catch(() => {});
    this.#gates.set(operation, [...(this.#gates.get(operation) ?? []), gate]);
    return {
      asked: gate.asked.promise,
      answer: (value) => gate.answer.resolve(value),
      fail: (error = new Error("the link broke")) => gate.answer.reject(error),
    };
  }

  async open(request: OpenRequest, call: Call): Promise<Session> {
    await this.carry("open", null, [], [], call, () => this.answers.open(request, call));
    const session = new ScriptedSession(this, request, { ...this.terms });
    this.sessions.push(session);
    return session;
  }

  async end(): Promise<void> {}

  read(election: string, call: Call): Promise<LeaderRecord | null> {
    return this.carry("read", null, [], [], call, () => this.answers.read(election, call));
  }

  candidates(election: string, call: Call): Promise<readonly CandidateRecord[]> {
    return this.carry("candidates", null, [], [], call, () => this.answers.candidates(election, call));
  }

  async watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    const { pollMs } = await this.carry("watch", null, [], [], call, () =>
      this.answers.watch(election, call),
    );
    this.watchers.add(changed);
    return { pollMs, close: () => void this.watchers.delete(changed) };
  }

  close(call: Call): Promise<void> {
    return this.carry("close", null, [], [], call, () => this.answers.close(call));
  }

  async carry<Answer>(
    operation: Operation,
    session: ScriptedSession | null,
    claims: readonly Claim[],
    requests: readonly ClaimRequest[],
    call: Call,
    answer: () => Promise<Answer>,
  ): Promise<Answer> {
    const made: PortCall = { operation, at: this.#now(), session, claims, requests, call };
    this.calls.push(made);
    const gate = this.#gates.get(operation)?.shift();
    if (gate === undefined) return answer();
    gate.asked.resolve(made);
    // The one who holds the call has said of what type its answer is.
    return (await gate.answer.promise) as Answer;
  }
}

export class ScriptedSession implements Session {
  readonly id: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly proofLagMs: number;
  readonly ticket = "";
  readonly poll: Poll | null;
  readonly warnings: readonly string[];
  /** For the test to say what the store says. */
  readonly events: SessionEvents;
  abandoned = false;
  readonly #store: ScriptedStore;

  constructor(store: ScriptedStore, request: OpenRequest, terms: SessionTerms) {
    this.#store = store;
    this.id = request.nonce;
    this.store = store.id;
    this.ttlMs = terms.ttlMs ?? request.ttlMs;
    this.proofLagMs = terms.proofLagMs;
    this.poll = terms.poll;
    this.warnings = terms.warnings;
    this.events = request.events;
  }

  prove(held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof> {
    const { answers } = this.#store;
    return this.#store.carry("prove", this, [...held.values()], [], call, () => answers.prove(held, call));
  }

  claim(requests: readonly ClaimRequest[], call: Call, heard: Hear): Promise<readonly ClaimAnswer[]> {
    const { answers } = this.#store;
    return this.#store.carry("claim", this, requests, requests, call, () =>
      answers.claim(requests, call, heard),
    );
  }

  release(claims: readonly Claim[], call: Call): Promise<void> {
    const { answers } = this.#store;
    return this.#store.carry("release", this, claims, [], call, () => answers.release(claims, call));
  }

  dispose(claims: readonly Claim[], call: Call): Promise<void> {
    const { answers } = this.#store;
    return this.#store.carry("dispose", this, claims, [], call, () => answers.dispose(claims, call));
  }

  end(call: Call): Promise<void> {
    return this.#store.carry("end", this, [], [], call, () => this.#store.answers.end(call));
  }

  abandon(): void {
    this.abandoned = true;
  }
}

let stores = 0;

export function granted(token: bigint): ClaimAnswer {
  return { kind: "granted", token };
}

export function held(more: Partial<ClaimAnswer & { kind: "held" }> = {}): ClaimAnswer {
  return { kind: "held", by: null, retryInMs: null, patience: null, ...more };
}

export function alive(ttlMs: number, lost: readonly Claim[] = []): Proof {
  return { kind: "alive", ttlMs, covers: "all", lost };
}

/** An answer that never comes. */
export function silence(): Promise<never> {
  return new Promise(() => {});
}

export function failure(): Promise<never> {
  return Promise.reject(new Error("the link broke"));
}
