/**
 * One connection to the server at a time, and who may use it.
 *
 * Every connection is a driver client of its own, so that nothing of an older one (a reply, an error, a close) can
 * be taken for the present one's. When the driver's `retryStrategy` is null, it rejects what was in flight at the
 * close of the socket; with one, and without re-sending, it forgets it (ioredis #2193). Calls race their signal anyway.
 */

import type { Call } from "@elect/core/adapter";
import {
  destroy,
  dial,
  evaluate,
  inspect,
  usable,
  type Command,
  type Driver,
  type Outcome,
} from "./driver.ts";
import { explain, redirection, type Redirection } from "./errors.ts";
import type { Script } from "./lua.ts";
import type { Endpoint, Settings } from "./options.ts";
import type { ServerFacts } from "./server.ts";

/** One connection, from the first packet to the last. */
interface Wire {
  readonly driver: Driver;
  /** Rejects with the reason if it never comes about. */
  readonly ready: Promise<void>;
  established: boolean;
  /** Known once established, on links that ask. */
  server: ServerFacts | null;
}

interface LinkUse {
  /** Whether to ask each server what it is. */
  readonly inspect: boolean;
  /** Part of connecting: the wire is not ready before. */
  prepare?(driver: Driver): Promise<void>;
  /** A ready wire broke without our doing. */
  lost(cause: unknown): void;
}

/** A script's arguments may depend on the server that will run it, and on whether its slot is just moving there. */
export type Arguments = (server: ServerFacts | null, asking: boolean) => readonly (string | number)[];

/** How many times one call follows the nodes of a Cluster that point at each other. */
const mostRedirections = 5;

export class Link {
  readonly #settings: Settings;
  readonly #use: LinkUse;
  #wire: Wire | null = null;
  #closed = false;
  /** Where the Cluster last told us to go. */
  #moved: Required<Endpoint> | null = null;
  #seed = 0;

  constructor(settings: Settings, use: LinkUse) {
    this.#settings = settings;
    this.#use = use;
  }

  get connected(): boolean {
    return this.#wire !== null;
  }

  /** Runs a script, wherever the Cluster sends it. */
  async script(
    script: Script,
    keys: readonly string[],
    args: Arguments,
    call: Call,
    alongside?: Command,
  ): Promise<Outcome> {
    for (let hop = 0; ; hop++) {
      let used: Wire | null = null;
      try {
        return await this.run(call, (wire) => {
          used = wire;
          return evaluate(wire.driver, script, keys, args(wire.server, false), alongside);
        });
      } catch (cause) {
        const to = this.#settings.route.kind === "cluster" ? redirection(cause) : null;
        if (to === null || hop === mostRedirections) throw explain(cause, this.#settings.address);
        if (to.kind === "ask") return this.#ask(to, script, keys, args, call);
        this.#move(to, used);
      }
    }
  }

  /** Uses the connection, and makes one first if there is none. When the call is over, so is a connection that it waits on. */
  async run<T>(call: Call, use: (wire: Wire) => Promise<T>): Promise<T> {
    call.signal.throwIfAborted();
    if (this.#closed) throw new Error(`The connection to ${this.#settings.address} was let go`);
    if (this.#wire !== null && !usable(this.#wire.driver)) this.#drop(this.#wire);
    const wire = (this.#wire ??= this.#connect(call.timeoutMs, this.#endpoint()));
    const work = wire.ready.then(() => use(wire));
    return raced(call.signal, work, () => this.#drop(wire));
  }

  /** For what makes no sense on a connection yet to come. */
  whileEstablished(use: (driver: Driver) => void): void {
    if (this.#wire?.established === true) use(this.#wire.driver);
  }

  /** The connection is silent or worse: whoever waits on it is told now. */
  reset(): void {
    if (this.#wire !== null) this.#drop(this.#wire);
  }

  close(): void {
    this.#closed = true;
    this.reset();
  }

  #drop(wire: Wire): void {
    if (this.#wire === wire) this.#wire = null;
    destroy(wire.driver);
  }

  #connect(timeoutMs: number, at: Required<Endpoint> | null): Wire {
    const driver = dial(this.#settings, timeoutMs, at);
    let last: Error | null = null;
    driver.on("error", (error) => (last = error));
    const establish = async (): Promise<void> => {
      try {
        await driver.connect();
        // The driver goes on after a refused SELECT, in a database that is not ours.
        if (last !== null) throw last;
        // What keeps the process alive is for core's timers to say, not for our sockets.
        driver.stream?.unref();
        const [server] = await Promise.all([
          this.#use.inspect ? inspect(driver) : null,
          this.#use.prepare?.(driver),
        ]);
        wire.server = server;
        wire.established = true;
      } catch (cause) {
        if (this.#wire === wire) this.#drop(wire);
        this.#moved = null;
        this.#seed += 1;
        // The driver says "Connection is closed"; why, it said in an event.
        throw explain(last ?? cause, this.#settings.address);
      }
    };
    const wire: Wire = { driver, ready: Promise.resolve().then(establish), established: false, server: null };
    wire.ready.catch(() => {}); // Told to those who wait for it; there may be none left.
    driver.on("close", () => {
      if (this.#wire !== wire) return;
      this.#wire = null;
      if (wire.established)
        this.#use.lost(last ?? new Error(`The connection to ${this.#settings.address} was closed`));
    });
    return wire;
  }

  /** `null`: what the settings say. Of several seeds the next one after each failure. */
  #endpoint(): Required<Endpoint> | null {
    const { route } = this.#settings;
    if (route.kind !== "cluster") return null;
    return this.#moved ?? route.seeds[this.#seed % route.seeds.length] ?? null;
  }

  #target(to: Redirection): Required<Endpoint> {
    const { natMap } = this.#settings.driver;
    const host = to.host ?? this.#endpoint()?.host ?? "127.0.0.1";
    const announced = `${host}:${to.port}`;
    const real = typeof natMap === "function" ? natMap(announced) : natMap?.[announced];
    return real ?? { host, port: to.port };
  }

  #move(to: Redirection, from: Wire | null): void {
    // Of two calls that were sent away from one node, the second finds the link under way to the new one.
    if (this.#wire !== null && this.#wire !== from) return;
    this.#moved = this.#target(to);
    if (from !== null) this.#drop(from);
  }

  /** The slot is on the move and its keys have left already: one question at its new home, on a connection for it alone. */
  async #ask(
    to: Redirection,
    script: Script,
    keys: readonly string[],
    args: Arguments,
    call: Call,
  ): Promise<Outcome> {
    const driver = dial(this.#settings, call.timeoutMs, this.#target(to));
    driver.on("error", () => {});
    try {
      const work = driver.connect().then(async () => {
        const server = this.#use.inspect ? await inspect(driver) : null;
        const text = [script.text, keys.length, ...keys, ...args(server, true)];
        const [, reply] = await Promise.all([driver.call("ASKING", []), driver.call("EVAL", text)]);
        return { reply, alongside: null };
      });
      return await raced(call.signal, work, () => destroy(driver));
    } catch (cause) {
      throw explain(cause, this.#settings.address);
    } finally {
      destroy(driver);
    }
  }
}

/** Settles with the work or when the signal aborts, whichever is first; never later, whatever the driver forgets. */
async function raced<T>(signal: AbortSignal, work: Promise<T>, giveUp: () => void): Promise<T> {
  let abort: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => {
      giveUp();
      reject(signal.reason as Error);
    };
  });
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
    work.catch(() => {});
    aborted.catch(() => {});
  }
}
