/**
 * The sockets of one link.
 *
 * gRPC closes a connection politely: it waits for the other side, and while it connects the driver even tries on for a
 * second. On a silent link that leaves a socket behind for each attempt, for a quarter of an hour, with requests in its
 * buffers that may yet be delivered. So we reset them ourselves. gRPC does not show them; Node does, and in which
 * asynchronous context they were opened: gRPC's, which begins where the link greets the member.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe } from "node:diagnostics_channel";
import { Socket } from "node:net";

/** https://nodejs.org/api/diagnostics_channel.html#built-in-channels */
const channel = "net.client.socket";

const connecting = new AsyncLocalStorage<Sockets>();
let heard = false;

export class Sockets {
  readonly #open = new Set<Socket>();
  readonly #outside = AsyncLocalStorage.snapshot();
  #over = false;

  constructor() {
    if (!heard) subscribe(channel, hear);
    heard = true;
  }

  /** Runs what connects: its sockets are ours, also those that it opens later. */
  async within<T>(work: () => Promise<T>): Promise<T> {
    return connecting.run(this, work);
  }

  /** Runs what is none of gRPC's: sockets that a user's callback opens are the user's. */
  outside(work: () => void): void {
    this.#outside(work);
  }

  /** Whether they keep the process alive. gRPC says yes as long as there is a stream, which a watch is for ever. */
  hold(alive: boolean): void {
    for (const socket of this.#open) {
      if (alive) socket.ref();
      else socket.unref();
    }
  }

  /** Resets all, now and as they come. */
  reset(): void {
    this.#over = true;
    for (const socket of this.#open) socket.resetAndDestroy();
  }

  /** A socket that is about to connect: now would be too early to destroy it. */
  add(socket: Socket): void {
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    // gRPC may drop a socket that connects with nobody to hear of its errors (decisions/0001).
    socket.on("error", () => {});
    if (this.#over) queueMicrotask(() => socket.destroy());
  }
}

function hear(message: unknown): void {
  const sockets = connecting.getStore();
  if (sockets === undefined || typeof message !== "object" || message === null) return;
  if ("socket" in message && message.socket instanceof Socket) sockets.add(message.socket);
}
