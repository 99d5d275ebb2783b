/** A store as users hold it: something to create elections on, and to close. */

import { bounded } from "./call.ts";
import { machineClock, type Clock } from "./clock.ts";
import { publish } from "./diagnostics.ts";
import { ClosedError, InvalidOptionError } from "./errors.ts";
import type { Adapter, Capabilities } from "./port.ts";
import { SharedSession } from "./session.ts";

/** One store, reached in one way. Made by `connect(url)` or an adapter's factory. */
export interface Backend {
  /** The adapter's short name: `"redis"`. */
  readonly kind: string;
  /** Where the store is, without credentials. */
  readonly address: string;
  /** What this backend promises, and what it does not. */
  readonly capabilities: Capabilities;
  /** Closes the elections that are still open, then lets go of the store. Settles in bounded time, never throws. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Another copy of this package finds the inside of a backend by this name. */
const insideKey: unique symbol = Symbol.for("elect.backend.1") as never;

/** What elections need of a backend. */
export interface Inside {
  readonly adapter: Adapter;
  readonly clock: Clock;
  readonly elections: Set<{ close(): Promise<unknown> }>;
  closed: boolean;
  session(ttl: number): SharedSession;
}

/** How long a backend may take to let go of its connections, in ms. */
const closeLimit = 2_000;

/** Makes a backend of an adapter. `clock` is for tests: all deadlines of the backend are read off it. */
export function createBackend(adapter: Adapter, options: { clock?: Clock } = {}): Backend {
  const sessions = new Map<number, SharedSession>();
  const { kind, address, capabilities } = adapter;
  const clock = options.clock ?? machineClock;
  const inside: Inside = {
    adapter,
    clock,
    elections: new Set(),
    closed: false,
    session(ttl) {
      let session = sessions.get(ttl);
      if (session === undefined) sessions.set(ttl, (session = new SharedSession(adapter, clock, ttl)));
      return session;
    },
  };
  let closing: Promise<void> | null = null;
  const backend: Backend = {
    kind,
    address,
    capabilities,
    close() {
      closing ??= close(inside);
      return closing;
    },
    [Symbol.asyncDispose]: () => backend.close(),
  };
  Object.defineProperty(backend, insideKey, { value: inside });
  return backend;
}

/** The inside of a backend that is still open. */
export function insideOf(backend: Backend): Inside {
  const inside = (backend as { [insideKey]?: Inside } | undefined)?.[insideKey];
  if (inside === undefined) {
    throw new InvalidOptionError(
      "backend",
      "backend must come from `await connect(url)` or an adapter's factory.",
    );
  }
  if (inside.closed) throw new ClosedError(`The backend ${backend.address} is closed: create another.`);
  return inside;
}

async function close(inside: Inside): Promise<void> {
  inside.closed = true;
  await Promise.allSettled([...inside.elections].map((election) => election.close()));
  try {
    await bounded(inside.clock, closeLimit, (call) => inside.adapter.close(call));
  } catch (error) {
    publish("trouble", () => ({ store: inside.adapter.address, during: "close", error }));
  }
}
