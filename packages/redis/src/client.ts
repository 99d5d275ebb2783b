/**
 * One connection to the server at a time, and who may use it. The driver connects and frames commands; everything
 * else that it offers to do is switched off: it retries nothing, queues nothing, re-sends nothing, reconnects never.
 *
 * Every connection is a driver client of its own, so that nothing of an older one (a reply, an error, a close) can
 * be taken for the present one's. When the driver's `retryStrategy` is null, it rejects what was in flight at the
 * close of the socket; with one, and without re-sending, it forgets it (ioredis #2193). Calls race their signal anyway.
 */

import { Redis } from "ioredis";
import type { Call } from "@elect/core/adapter";
import { explain, isUnknownScript, redirection, type Redirection } from "./errors.ts";
import type { Endpoint, Settings } from "./options.ts";
import { factsFrom, type ServerFacts } from "./server.ts";
import type { Script } from "./scripts.ts";

/** What the adapter uses of the driver. */
export interface Driver {
  readonly status: string;
  readonly stream: { destroy(): unknown } | undefined;
  call(command: string, args: (string | number)[]): Promise<unknown>;
  subscribe(...channels: string[]): Promise<unknown>;
  unsubscribe(...channels: string[]): Promise<unknown>;
  connect(): Promise<void>;
  disconnect(): void;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "close", listener: () => void): unknown;
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
}

/** One connection, from the first packet to the last. */
export interface Wire {
  readonly driver: Driver;
  /** Rejects with the reason if it never comes about. */
  readonly ready: Promise<void>;
  established: boolean;
  /** Known once established, on links that ask. */
  server: ServerFacts | null;
}

export interface LinkUse {
  /** Whether to ask each server what it is. */
  readonly inspect: boolean;
  /** Part of connecting: the wire is not ready before. */
  prepare?(driver: Driver): Promise<void>;
  /** A ready wire broke without our doing. */
  lost(cause: unknown): void;
}

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

  /** Runs a script. `args` may look at the server that will run it; `asking` when its slot is on the way there. */
  async script(
    script: Script,
    keys: readonly string[],
    args: (server: ServerFacts | null, asking: boolean) => readonly (string | number)[],
    call: Call,
    alongside?: { readonly command: string; readonly args: (string | number)[] },
  ): Promise<{ reply: unknown; alongside: unknown }> {
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
    if (this.#wire !== null && !usable(this.#wire)) this.#drop(this.#wire);
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
    let last: unknown = null;
    driver.on("error", (error) => (last = error));
    const establish = async (): Promise<void> => {
      try {
        await driver.connect();
        const [server] = await Promise.all([this.#use.inspect ? inspect(driver) : null, this.#use.prepare?.(driver)]);
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
      if (wire.established) this.#use.lost(last ?? new Error(`The connection to ${this.#settings.address} was closed`));
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
    args: (server: ServerFacts | null, asking: boolean) => readonly (string | number)[],
    call: Call,
  ): Promise<{ reply: unknown; alongside: unknown }> {
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

function dial(settings: Settings, timeoutMs: number, at: Required<Endpoint> | null): Driver {
  const wait = Math.max(1, Math.ceil(timeoutMs));
  return new Redis({
    ...settings.driver,
    ...at,
    lazyConnect: true,
    retryStrategy: null,
    sentinelRetryStrategy: () => null,
    sentinelCommandTimeout: wait,
    failoverDetector: false,
    role: "master",
    readOnly: false,
    connectTimeout: wait,
    disconnectTimeout: 1,
    commandTimeout: undefined,
    socketTimeout: undefined,
    blockingTimeout: undefined,
    reconnectOnError: null,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    // Prints when INFO is not permitted, and waits in a timer while the server loads: we look for ourselves.
    enableReadyCheck: false,
    enableAutoPipelining: false,
    disableClientInfo: true,
    monitor: false,
    keyPrefix: "",
    stringNumbers: false,
    replyMapping: "legacy",
    scripts: undefined,
    himportFieldsets: undefined,
  });
}

/** At once, whatever is under way: `disconnect()` alone says goodbye and waits for an answer. */
function destroy(driver: Driver): void {
  driver.disconnect();
  driver.stream?.destroy();
}

function usable(wire: Wire): boolean {
  return wire.driver.status !== "close" && wire.driver.status !== "end";
}

async function inspect(driver: Driver): Promise<ServerFacts> {
  const [info, config] = await Promise.all([
    driver.call("INFO", []),
    driver.call("CONFIG", ["GET", "*appendfsync*"]).catch(() => null),
  ]);
  return factsFrom(info, config);
}

/** By its hash; with its text where the server does not know it yet. Both are written at once, in order, on one connection. */
async function evaluate(
  driver: Driver,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
  alongside?: { readonly command: string; readonly args: (string | number)[] },
): Promise<{ reply: unknown; alongside: unknown }> {
  const rest = [keys.length, ...keys, ...args];
  const send = async (command: string, what: string): Promise<{ reply: unknown; alongside: unknown }> => {
    const [reply, other] = await Promise.allSettled([
      driver.call(command, [what, ...rest]),
      alongside === undefined ? null : driver.call(alongside.command, alongside.args),
    ]);
    if (reply.status === "rejected") throw reply.reason;
    if (other.status === "rejected") throw other.reason;
    return { reply: reply.value, alongside: other.value };
  };
  try {
    return await send("EVALSHA", script.sha);
  } catch (cause) {
    if (!isUnknownScript(cause)) throw cause;
    return send("EVAL", script.text);
  }
}

/** Settles with the work or when the signal aborts, whichever is first; never later, whatever the driver forgets. */
export async function raced<T>(signal: AbortSignal, work: Promise<T>, giveUp: () => void): Promise<T> {
  let abort: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => {
      giveUp();
      reject(signal.reason as Error);
    };
  });
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
    work.catch(() => {});
    aborted.catch(() => {});
  }
}
