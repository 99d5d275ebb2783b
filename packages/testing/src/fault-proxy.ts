/**
 * A TCP proxy that fails on command: what a network, a firewall, a stalled server or a dying one do to a connection,
 * at an exact point of the conversation.
 *
 * ```ts
 * await using proxy = await openFaultProxy({ host: "127.0.0.1", port: 6379 });
 * const backend = redis(`redis://127.0.0.1:${proxy.port}`);
 * proxy.silence();            // nothing passes, nothing is closed: a pulled cable
 * proxy.heal();               // what was under way arrives now, like retransmitted packets do
 * ```
 */

import { createServer, type Server, type Socket } from "node:net";
import { ProxiedConnection, type Fault, type Passing } from "./proxied-connection.ts";
import type { Direction, Slowness } from "./fault-pipe.ts";
import { within } from "./wait.ts";

/** Where the proxy forwards to. */
export interface ProxyTarget {
  readonly host: string;
  readonly port: number;
}

export async function openFaultProxy(target: ProxyTarget): Promise<FaultProxy> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  await new Promise<void>((listening, failed) => {
    server.once("error", failed);
    server.listen(0, "127.0.0.1", listening);
  });
  return new FaultProxy(server, target);
}

/** Looks at every chunk before it passes; what it returns happens to that chunk. */
export type Observer = (passing: Passing) => Fault | undefined | void;

export class FaultProxy implements AsyncDisposable {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly #server: Server;
  readonly #target: ProxyTarget;
  readonly #connections = new Set<ProxiedConnection>();
  readonly #observers = new Set<Observer>();
  #opened = 0;
  #refusing = false;
  #silent: Direction | null = null;
  #slow: { readonly slowness: Slowness; readonly direction: Direction } | null = null;

  /** @internal */
  constructor(server: Server, target: ProxyTarget) {
    this.#server = server;
    this.#target = target;
    const address = server.address();
    this.port = typeof address === "object" && address !== null ? address.port : 0;
    server.on("connection", (client) => this.#accept(client));
  }

  /** The connections through the proxy that are not over on both sides. */
  get connections(): readonly ProxiedConnection[] {
    return [...this.#connections];
  }

  /** How many connections were ever accepted. */
  get opened(): number {
    return this.#opened;
  }

  /**
   * From now on nothing passes, on present and new connections, and nothing is closed. `up` is client → server.
   * What is under way is kept and arrives at {@link heal}, even if the client is gone by then.
   */
  silence(direction: Direction = "both"): void {
    this.#silent = direction;
    for (const connection of this.#connections) connection.hold(direction);
  }

  /** Delays and throttles present and new connections. */
  slow(slowness: Slowness, direction: Direction = "both"): void {
    this.#slow = { slowness, direction };
    for (const connection of this.#connections) connection.slow(slowness, direction);
  }

  /** Ends silence, slowness and refusal, and delivers what was held. */
  heal(): void {
    this.#silent = null;
    this.#slow = null;
    this.#refusing = false;
    for (const connection of this.#connections) connection.heal();
  }

  /** Connections are reset (RST) and new ones too, until {@link heal}: a server that is down. */
  refuse(): void {
    this.#refusing = true;
    this.reset();
  }

  /** Resets (RST) the present connections, once. */
  reset(): void {
    for (const connection of this.#connections) connection.reset();
  }

  /** Tells one side of each present connection that the other has finished sending (FIN), once. */
  halfClose(direction: "up" | "down"): void {
    for (const connection of this.#connections) connection.halfClose(direction);
  }

  /** Shows every chunk to `observer` before it passes, until the returned function is called. */
  observe(observer: Observer): () => void {
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  /**
   * Does `fault` to the first chunk for which `matches` holds, and only to that one. `seen` resolves then.
   *
   * ```ts
   * // the claim reaches the store, its reply does not reach us
   * proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("nightly-report"), "cut-after");
   * ```
   */
  once(matches: (passing: Passing) => boolean, fault: Fault): Trigger {
    const { promise, resolve } = Promise.withResolvers<Passing>();
    let hit: Passing | null = null;
    const disarm = this.observe((passing) => {
      if (!matches(passing)) return undefined;
      disarm();
      hit = passing;
      resolve(passing);
      return fault;
    });
    return {
      seen: promise,
      get hit() {
        return hit;
      },
      disarm,
    };
  }

  /** Forwards the next `n` requests (chunks upwards, whatever their connection), drops the reply to the last, resets. */
  cutAfter(n: number): Trigger {
    let passed = 0;
    return this.once(({ direction }) => direction === "up" && ++passed === n, "cut-after");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Resets what is open and stops listening. */
  async close(): Promise<void> {
    const closed = new Promise<void>((done) => this.#server.close(() => done()));
    this.reset();
    await within(5000, "the fault proxy closes", closed);
  }

  #accept(client: Socket): void {
    this.#opened += 1;
    if (this.#refusing) {
      client.on("error", () => {});
      client.resetAndDestroy();
      return;
    }
    const connection = new ProxiedConnection(client, this.#target, {
      number: this.#opened,
      passing: (passing) => this.#judge(passing),
      over: () => void this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    if (this.#slow !== null) connection.slow(this.#slow.slowness, this.#slow.direction);
    if (this.#silent !== null) connection.hold(this.#silent);
    connection.begin();
  }

  #judge(passing: Passing): Fault | undefined {
    for (const observer of [...this.#observers]) {
      const fault = observer(passing);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
}

/** An armed fault. */
export interface Trigger {
  /** Resolves with the chunk that set it off. */
  readonly seen: Promise<Passing>;
  /** That chunk; `null` if it has not gone off. */
  readonly hit: Passing | null;
  /** Takes it back, if it has not gone off. */
  disarm(): void;
}
