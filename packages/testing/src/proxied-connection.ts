/** One client's connection through the fault proxy, with its twin to the server. */

import { connect, type Socket } from "node:net";
import { FaultPipe, type Direction, type Slowness } from "./fault-pipe.ts";

/** A chunk on its way: what one read of the socket returned. Drivers write one request at a time at rest. */
export interface Passing {
  readonly connection: ProxiedConnection;
  readonly direction: "up" | "down";
  readonly bytes: Buffer;
  /** The how-many-th chunk of this direction on this connection, from 1. */
  readonly nth: number;
}

/**
 * What can be done to a chunk:
 * - `hold`: it and all that follows in its direction wait for {@link ProxiedConnection.heal};
 * - `cut`: it does not pass, and the connection is reset;
 * - `cut-after`: it passes; what the other side answers does not, and then the connection is reset.
 */
export type Fault = "hold" | "cut" | "cut-after";

/** How long after the first reply that we drop the connection is reset: a reply may come in several pieces. */
const afterReply = 30;

/** How long a silent server is given to do what it was asked before the connection is reset anyway. */
const withoutReply = 1000;

interface Surroundings {
  readonly number: number;
  readonly passing: (passing: Passing) => Fault | undefined;
  readonly over: () => void;
}

export class ProxiedConnection {
  /** The how-many-th connection of the proxy, from 1. */
  readonly number: number;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #surroundings: Surroundings;
  readonly #up: FaultPipe;
  readonly #down: FaultPipe;
  readonly #seen = { up: 0, down: 0 };
  /** The direction of which nothing passes any more: its next chunk is the dropped reply. */
  #dropping: "up" | "down" | null = null;
  #cut: NodeJS.Timeout | undefined;
  #replyDropped = false;
  #over = false;

  /** @internal */
  constructor(
    client: Socket,
    target: { readonly host: string; readonly port: number },
    surroundings: Surroundings,
  ) {
    this.number = surroundings.number;
    this.#client = client;
    this.#target = target;
    this.#surroundings = surroundings;
    this.#server = connect({ host: target.host, port: target.port, allowHalfOpen: true, noDelay: true });
    this.#up = new FaultPipe(this.#server, () => this.#letServerGo());
    this.#down = new FaultPipe(client, () => {});
  }

  /** @internal */
  begin(): void {
    const client = this.#client;
    const server = this.#server;
    client.on("data", (bytes) => this.#pass("up", bytes));
    client.on("end", () => this.#up.push("end"));
    client.on("error", () => {});
    client.on("close", () => this.#clientClosed());
    server.on("connect", () => this.#up.open());
    server.on("data", (bytes) => this.#pass("down", bytes));
    server.on("end", () => this.#down.push("end"));
    server.on("error", () => this.#down.push("reset"));
    server.on("close", () => this.#serverClosed());
    this.#down.open();
  }

  /** `host:port` of the server's side. */
  get target(): string {
    return `${this.#target.host}:${this.#target.port}`;
  }

  /** Nothing passes in this direction until {@link heal}; nothing is closed. */
  hold(direction: Direction = "both"): void {
    if (direction !== "down") this.#up.hold();
    if (direction !== "up") this.#down.hold();
  }

  slow(slowness: Slowness, direction: Direction = "both"): void {
    if (direction !== "down") this.#up.slow(slowness);
    if (direction !== "up") this.#down.slow(slowness);
  }

  /** Delivers what was held, also to the server on behalf of a client that is gone; ends slowness. */
  heal(): void {
    this.slow({});
    this.#up.release();
    this.#down.release();
  }

  /** Resets both sides (RST); what was held is lost. */
  reset(): void {
    this.#up.discard();
    this.#down.discard();
    this.#client.resetAndDestroy();
    this.#server.resetAndDestroy();
    clearTimeout(this.#cut);
    this.#settle();
  }

  /** Tells the receiver of this direction that the other side has finished sending (FIN). */
  halfClose(direction: "up" | "down"): void {
    (direction === "up" ? this.#up : this.#down).push("end");
  }

  #pass(direction: "up" | "down", bytes: Buffer): void {
    this.#seen[direction] += 1;
    if (this.#dropping === direction) {
      this.#dropReply();
      return;
    }
    const fault = this.#surroundings.passing({
      connection: this,
      direction,
      bytes,
      nth: this.#seen[direction],
    });
    if (fault === "cut") {
      this.reset();
      return;
    }
    const pipe = direction === "up" ? this.#up : this.#down;
    if (fault === "hold") pipe.hold();
    pipe.push(bytes);
    if (fault === "cut-after") {
      this.#dropping = direction === "up" ? "down" : "up";
      this.#cut = setTimeout(() => this.reset(), withoutReply);
    }
  }

  #dropReply(): void {
    if (this.#replyDropped) return;
    this.#replyDropped = true;
    clearTimeout(this.#cut);
    this.#cut = setTimeout(() => this.reset(), afterReply);
  }

  #clientClosed(): void {
    this.#down.discard();
    this.#up.push("end");
    this.#letServerGo();
  }

  #letServerGo(): void {
    if (this.#client.destroyed && this.#up.over) this.#server.destroySoon();
    this.#settle();
  }

  #serverClosed(): void {
    this.#up.discard();
    this.#down.push("end");
    this.#settle();
  }

  #settle(): void {
    if (this.#over || !this.#client.destroyed || !this.#server.destroyed) return;
    this.#over = true;
    clearTimeout(this.#cut);
    this.#surroundings.over();
  }
}
