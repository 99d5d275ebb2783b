/**
 * A store in this process: for tests, for development, and as the reference of what the port means. It reaches no
 * further than the process, and it is gone with it.
 */

import { createBackend, type Backend } from "./backend.ts";
import { machineClock, type Clock } from "./clock.ts";
import { InvalidOptionError } from "./errors.ts";
import { memorySession, MemoryStore } from "./memory-store.ts";
import type {
  Adapter,
  CandidateRecord,
  Capabilities,
  LeaderRecord,
  OpenRequest,
  Session,
  Watch,
} from "./port.ts";

export interface MemoryOptions {
  /** Backends of one name share one store, within this process. @default a store of its own */
  readonly name?: string;
  /** For tests: the clock by which leases run out and deadlines are read. @default the machine's */
  readonly clock?: Clock;
}

/** A backend whose store is this process's memory. */
export function memory(options: MemoryOptions = {}): Backend {
  const { clock = machineClock } = options;
  return createBackend(new MemoryAdapter(options), { clock });
}

/** `memory:` is a store of its own, `memory:name` one that backends of this process share. */
export function memoryFromUrl(url: string): Backend {
  const name = url.slice("memory:".length);
  if (/[?%]|^\//.test(name)) {
    // Not shown: what was meant for another store may hold a password.
    throw new InvalidOptionError("url", `A memory URL is memory: or memory:some-name.`);
  }
  return memory(name === "" ? {} : { name });
}

const named = new Map<string, MemoryStore>();

const capabilities: Capabilities = {
  reach: "process",
  crash: { ttls: 1, plusMs: 300 },
  stopped: { ttls: 1, plusMs: 300 },
  order: "fifo",
  maxTtlMs: 24 * 60 * 60 * 1000,
  limits: [
    {
      promise: 4,
      sentence: "Tokens begin again with each process.",
    },
  ],
};

export class MemoryAdapter implements Adapter {
  readonly kind = "memory";
  readonly address: string;
  readonly capabilities: Capabilities = capabilities;
  readonly #store: MemoryStore;

  constructor({ name, clock = machineClock }: MemoryOptions = {}) {
    this.address = `memory:${name ?? ""}`;
    const store = (name === undefined ? undefined : named.get(name)) ?? new MemoryStore(clock);
    if (name !== undefined) named.set(name, store);
    this.#store = store;
  }

  async open({ ttlMs, nonce, events }: OpenRequest): Promise<Session> {
    return memorySession(this.#store, nonce, ttlMs, events);
  }

  async end(ticket: string): Promise<void> {
    this.#store.end(ticket);
  }

  async read(election: string): Promise<LeaderRecord | null> {
    const holder = this.#store.holder(election);
    return holder === null ? null : { ...holder.candidate, token: holder.token };
  }

  async candidates(election: string): Promise<readonly CandidateRecord[]> {
    return this.#store.candidates(election);
  }

  async watch(election: string, changed: () => void): Promise<Watch> {
    return { pollMs: 250, close: this.#store.watch(election, changed) };
  }

  async close(): Promise<void> {}
}
