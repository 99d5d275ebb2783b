/**
 * A store in memory that fails on command, for the tests of what is built on Elect: "what does my service do if it
 * loses leadership in the middle of the job?"
 *
 * ```ts
 * await using store = faultyMemory();
 * const service = startService({ backend: store.backend });
 * await store.takeOver("nightly-report"); // somebody else leads now
 * ```
 */

import { createElection, type Backend, type Term } from "@elect/core";
import { createBackend, machineClock, MemoryAdapter, type Clock } from "@elect/core/adapter";
import { FaultyLink, type Operation } from "./faulty-link.ts";
import { FaultyAdapter, ForgetfulTokens, type HeldRecords } from "./faulty-adapter.ts";

export interface FaultyMemoryOptions {
  /** For instance a `FakeClock`. @default the machine's */
  readonly clock?: Clock;
}

/** Each store is another one, also where a `FakeClock` gives the same nonces again. */
let stores = 0;

/** A new store, and one process's way to it. */
export function faultyMemory(options: FaultyMemoryOptions = {}): FaultyMemory {
  const clock = options.clock ?? machineClock;
  return new FaultyMemory({
    name: `faulty-${++stores}`,
    clock,
    records: new Map(),
    tokens: new ForgetfulTokens(),
    open: new Set(),
  });
}

/** What all processes of one store share. */
interface Shared {
  readonly name: string;
  readonly clock: Clock;
  /** By election: who holds it, to be able to take it away. */
  readonly records: HeldRecords;
  readonly tokens: ForgetfulTokens;
  readonly open: Set<Backend>;
}

/** So long that a rival never loses by accident. */
const rivalTtl = 60_000;

export class FaultyMemory implements AsyncDisposable {
  /** What the code under test is given. */
  readonly backend: Backend;
  readonly #shared: Shared;
  readonly #link: FaultyLink;

  /** @internal */
  constructor(shared: Shared) {
    const { name, clock } = shared;
    this.#shared = shared;
    this.#link = new FaultyLink(clock);
    const adapter = new FaultyAdapter(new MemoryAdapter({ name, clock }), this.#link, shared);
    this.backend = createBackend(adapter, { clock });
    shared.open.add(this.backend);
  }

  /** Another process on the same store: a backend of its own, with faults of its own. */
  another(): FaultyMemory {
    return new FaultyMemory(this.#shared);
  }

  // What happens in the store.

  /** The leader's record is deleted by a third party; the leader is told at once, or at its next proof. */
  removeLeader(election: string): void {
    this.#held(election).remove();
  }

  /** The session of the election's leader ends in the store, and with it all that it holds. */
  async endSession(election: string): Promise<void> {
    await this.#held(election).endSession();
  }

  /**
   * Another candidate takes over: the leader's session ends, and a rival (after whoever waited before it) is elected.
   * Resolves with the rival's term; resign it to let the others lead again.
   */
  async takeOver(election: string, rival = "rival"): Promise<Term> {
    const dethroned = this.#shared.records.get(election);
    const { backend } = this.another();
    const candidate = createElection({ backend, name: election, id: rival, ttl: rivalTtl });
    const bid = candidate.campaign();
    // The rival waits in the queue before the leader is dethroned, so the dethroned one comes after it.
    while (!(await candidate.candidates()).some(({ id }) => id === rival)) await Promise.resolve();
    await dethroned?.endSession();
    const term = await bid;
    term.signal.addEventListener("abort", () => void term.resign(), { once: true });
    return term;
  }

  /**
   * The store is restored from an old backup: it mints tokens again that it has minted before. Campaigns of processes
   * that have seen them are refused with a `TokenRegressionError`.
   */
  restoreBackup(): void {
    this.#shared.tokens.forget();
  }

  // What happens to this process's link with the store.

  /** Every call fails at once: the store is down. Until {@link heal}. */
  disconnect(): void {
    this.#link.disconnect();
  }

  /** No call arrives and none is answered: a pulled cable. Until {@link heal}. */
  silence(): void {
    this.#link.silence();
  }

  /** The answers to these calls come `ms` later. Until {@link heal}. */
  delay(operation: Operation, ms: number): void {
    this.#link.delay(operation, ms);
  }

  /** The next such call is carried out, and fails for the caller: its reply is lost. */
  loseReply(operation: Operation): void {
    this.#link.loseReply(operation);
  }

  /** The next such call is kept on its way; call the returned function to let it arrive, however late. */
  hold(operation: Operation): () => void {
    return this.#link.hold(operation);
  }

  /** Everything works again. */
  heal(): void {
    this.#link.heal();
  }

  /** Closes all backends of the store. */
  async close(): Promise<void> {
    const backends = [...this.#shared.open];
    this.#shared.open.clear();
    await Promise.all(backends.map((backend) => backend.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #held(election: string): { remove(): void; endSession(): Promise<void> } {
    const held = this.#shared.records.get(election);
    if (held === undefined) throw new Error(`nobody leads the election "${election}"`);
    return held;
  }
}
