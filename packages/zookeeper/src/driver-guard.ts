/**
 * The one place that reaches into `node-zookeeper-client`. The driver parses replies inside a socket's `data`
 * handler, where a throw becomes an uncaught exception: nothing around our calls could catch it. It also reconnects
 * by timers of its own, and keeps things over a reconnect that must not be kept. So four of the connection manager's
 * methods are replaced, on our own instance only (never on the prototype: the user's clients stay as they are):
 *
 * | method           | why                                                                                          |
 * | ---------------- | -------------------------------------------------------------------------------------------- |
 * | `onSocketData`   | An error code it does not know (-118, -125, …), an unknown event type, an empty frame or one |
 * |                  | that does not parse throws; and the bytes of a half-received frame survive a reconnect, where |
 * |                  | they are put in front of the new connection's handshake. We cut the frames ourselves and      |
 * |                  | hand it one whole frame at a time. An error code it does not know fails the one call; with    |
 * |                  | anything else it cannot digest, the connection is destroyed: outcomes unknown, session alive. |
 * | `onSocketClosed` | Requests that it did not get to send would be sent by the next connection, whenever that is, and  |
 * |                  | never be called back if the session ends: they fail now. (Ours wait for a connection first, so |
 * |                  | these are the driver's own: AUTH, once more for each handshake that came to nothing.) Watches  |
 * |                  | would be set again in one packet, which the server refuses past 1 MB (and the client then     |
 * |                  | reconnects for ever): they are dropped, and whoever watched looks again. The connect timer    |
 * |                  | would destroy the next connection: it is stopped.                                             |
 * | `onSocketError`  | It swallows why a connection failed.                                                          |
 * | `findNextServer` | It dials after a random time of its own, also after `close()`. We dial when a call wants to.   |
 *
 * The methods are looked up by the driver at the time of the call or bound when a socket is made, in all of
 * 1.1.0 … 1.1.3; a driver that is built differently is refused.
 */

import type { Socket } from "node:net";
import { RefusedError } from "@elect/core/adapter";
import { asError, code, LinkError, ServerError } from "./errors.ts";

interface Packet {
  readonly request: { readonly header: { readonly type: number } | null };
  callback(error: Error): void;
}

export interface Server {
  readonly host: string;
  readonly port: number | string;
}

/** The connection manager, as far as the guard touches it. */
interface ConnectionManager {
  socket?: Socket;
  state: number;
  pendingBuffer: Buffer | null;
  connectTimeoutHandler: NodeJS.Timeout | null;
  readonly servers: readonly Server[];
  readonly pendingQueue: Packet[];
  readonly packetQueue: { readonly queue: Packet[] };
  readonly watcherManager: { dataWatchers: object; childWatchers: object; existenceWatchers: object };
  close(): void;
  findNextServer(connect: (server: Server) => void): void;
  onSocketData(chunk: Buffer): void;
  onSocketClosed(hadError: boolean): void;
  onSocketError(error: Error): void;
}

export interface GuardEvents {
  /** The connection, or the attempt at one, is ending: what is under way has not failed yet. May come twice. */
  closing(cause: Error | null): void;
  /** It has ended, and the driver waits to be dialled. */
  closed(): void;
}

const connecting = 1;
const closeSession = -11;
const replyHeader = 16;
/** ZooKeeper's own default limit for a reply is 1 MB (`jute.maxbuffer`); operators raise it. */
const longestFrame = 2 ** 28;

export class DriverGuard {
  readonly servers: readonly Server[];
  readonly #manager: ConnectionManager;
  readonly #events: GuardEvents;
  readonly #parse: (chunk: Buffer) => void;
  /** The beginning of a frame whose end has not arrived; of this connection only. */
  #rest: Buffer | null = null;
  /** Why the connection is being lost, when somebody said so. */
  #cause: Error | null = null;
  #connect: ((server: Server) => void) | null = null;
  #next = 0;
  #corked = false;

  constructor(client: object, events: GuardEvents) {
    const manager = managerOf(client);
    this.#manager = manager;
    this.#events = events;
    this.servers = manager.servers;
    this.#parse = manager.onSocketData;
    const { onSocketClosed, onSocketError } = manager;
    manager.findNextServer = (connect) => void (this.#connect = connect);
    manager.onSocketData = (chunk) => this.#receive(chunk);
    manager.onSocketError = (error) => {
      this.#cause ??= error;
      onSocketError.call(manager, error);
    };
    manager.onSocketClosed = (hadError) => this.#clear(() => onSocketClosed.call(manager, hadError));
  }

  /** Connects to the next server, if the driver waits for one. */
  dial(): void {
    const connect = this.#connect;
    const server = this.servers[this.#next % this.servers.length];
    if (connect === null || server === undefined) return;
    this.#connect = null;
    this.#next += 1;
    connect(server);
  }

  /** Collects the requests of this turn of the event loop in one write to the socket. */
  cork(): void {
    const { socket } = this.#manager;
    if (this.#corked || socket === undefined) return;
    this.#corked = true;
    socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      socket.uncork();
    });
  }

  /**
   * Destroys the connection, and takes back what the kernel has not sent yet (hence the reset). The driver
   * fails what was under way, and waits to be dialled again. `false`: there was none.
   */
  drop(cause: Error): boolean {
    const { socket } = this.#manager;
    if (socket === undefined || socket.destroyed) return false;
    this.#cause ??= cause;
    this.#events.closing(this.#cause);
    if (socket.connecting) socket.destroy();
    else socket.resetAndDestroy();
    return true;
  }

  /** Drops the connection and never makes another. */
  abandon(cause: Error): void {
    this.#connect = null;
    this.#manager.findNextServer = () => {};
    this.drop(cause);
  }

  /** Ends the session; only while connected (the driver writes to a socket that it may not have). */
  closeSession(done: (error: Error | null) => void): void {
    const manager = this.#manager;
    manager.close();
    // The driver takes no callback for this request, so it is given one where it waits.
    const packet = [...manager.pendingQueue, ...manager.packetQueue.queue].find(
      ({ request }) => request.header?.type === closeSession,
    );
    if (packet === undefined) done(new LinkError("the connection closed before the session could be ended"));
    else packet.callback = done;
  }

  #receive(chunk: Buffer): void {
    let bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = null;
    while (bytes.length >= 4) {
      const size = bytes.readInt32BE(0);
      if (size < replyHeader || size > longestFrame) {
        this.drop(new LinkError(`the server sent a frame of ${size} bytes`));
        return;
      }
      if (bytes.length < 4 + size) break;
      this.#deliver(bytes.subarray(0, 4 + size));
      if (this.#manager.socket?.destroyed !== false) return;
      bytes = bytes.subarray(4 + size);
    }
    if (bytes.length > 0) this.#rest = bytes;
  }

  #deliver(frame: Buffer): void {
    const manager = this.#manager;
    const packet = manager.state === connecting ? undefined : manager.pendingQueue[0];
    try {
      this.#parse.call(manager, frame);
    } catch (cause) {
      const unknown = /^Unknown code: (-?\d+)$/.exec(asError(cause).message)?.[1];
      // The driver took the request off its queue, and did not get to calling it back.
      const answered = packet !== undefined && manager.pendingQueue[0] !== packet;
      if (answered && unknown !== undefined) return fail(packet, new ServerError(Number(unknown), { cause }));
      this.drop(new LinkError("the driver could not digest what the server sent", { cause }));
      if (answered) fail(packet, new ServerError(code.connectionLoss));
    }
  }

  #clear(driverClear: () => void): void {
    const manager = this.#manager;
    if (manager.connectTimeoutHandler !== null) clearTimeout(manager.connectTimeoutHandler);
    this.#events.closing(this.#cause);
    this.#cause = null;
    this.#rest = null;
    manager.pendingBuffer = null;
    manager.watcherManager.dataWatchers = {};
    manager.watcherManager.childWatchers = {};
    manager.watcherManager.existenceWatchers = {};
    const unsent = manager.packetQueue.queue.splice(0);
    driverClear();
    for (const packet of unsent) fail(packet, new ServerError(code.connectionLoss));
    this.#events.closed();
  }
}

/** Some callbacks of the driver complain when they are called a second time; the first call stands. */
function fail(packet: Packet, error: Error): void {
  try {
    packet.callback(error);
  } catch {
    // The promise behind the callback has settled.
  }
}

function managerOf(client: object): ConnectionManager {
  const { connectionManager } = client as { connectionManager?: Partial<ConnectionManager> };
  if (
    typeof connectionManager === "object" &&
    typeof connectionManager.findNextServer === "function" &&
    typeof connectionManager.onSocketData === "function" &&
    typeof connectionManager.onSocketClosed === "function" &&
    typeof connectionManager.onSocketError === "function" &&
    Array.isArray(connectionManager.servers) &&
    Array.isArray(connectionManager.pendingQueue) &&
    Array.isArray(connectionManager.packetQueue?.queue) &&
    typeof connectionManager.watcherManager?.dataWatchers === "object"
  ) {
    return connectionManager as ConnectionManager;
  }
  throw new RefusedError(
    "driver",
    "@elect/zookeeper does not know this build of node-zookeeper-client from the inside: install 1.1.x.",
  );
}
