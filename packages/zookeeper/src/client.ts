/**
 * One ZooKeeper session and the connection it has at the moment: a driver client of our own, guarded. It connects
 * when a call wants to be sent and not before, so it needs no timer, and no request ever waits for a connection
 * that comes later: within a call we connect first, and what is under way when the connection ends has failed.
 */

import type { Call } from "@elect/core/adapter";
import { DriverGuard } from "./driver-guard.ts";
import { driver, type Acl, type DriverClient } from "./driver.ts";
import { authRefused, LinkError, SessionOver } from "./errors.ts";
import type { Target } from "./options.ts";
import { Watches } from "./watches.ts";
import { Wire } from "./wire.ts";

/** Another session to go on with (or to end). */
export interface Resumed {
  readonly id: Buffer;
  readonly password: Buffer;
}

export interface LinkEvents {
  /** A connection is up, the first or a later one; no watch is set on it yet. */
  connected(first: boolean): void;
  /** The connection is gone and its watches with it; the session may live. */
  disconnected(cause: Error): void;
  /** The session is over, or will never be. */
  ended(reason: Error): void;
}

interface Waiter {
  attempts: number;
  resolve(): void;
  reject(error: Error): void;
}

export class Link {
  readonly address: string;
  readonly #client: DriverClient;
  readonly #guard: DriverGuard;
  readonly #acls: readonly Acl[];
  readonly #events: LinkEvents;
  readonly #waiters = new Set<Waiter>();
  readonly #wires = new Set<Wire>();
  readonly #watches = new Watches((say) => this.#tell(say));
  /** `going`: we dropped the connection, and the socket has yet to say that it closed. */
  #phase: "down" | "up" | "going" = "down";
  #ended: Error | null = null;
  #loss: Error = new LinkError("Not connected yet");
  #connections = 0;
  #answers = 0;
  #ownWire: Wire | null = null;

  constructor(target: Target, timeoutMs: number, events: LinkEvents, resumed: Resumed | null = null) {
    this.address = target.address;
    this.#events = events;
    this.#acls = target.acls;
    const session = resumed === null ? {} : { sessionId: resumed.id, sessionPassword: resumed.password };
    const client = driver.createClient(target.servers, { sessionTimeout: timeoutMs, retries: 0, ...session });
    this.#client = client;
    this.#guard = new DriverGuard(client, {
      closing: (cause) => this.#lose(cause),
      closed: () => this.#closed(),
    });
    // Before the first connection: added later, it would go to the back of the queue, behind our requests.
    for (const { scheme, value } of target.auth) client.addAuthInfo(scheme, value);
    client.on("connected", () => this.#up());
    client.on("expired", () =>
      this.#over(
        new SessionOver(
          `ZooKeeper at ${this.address} ended the session: it was silent for too long, or somebody ended it`,
        ),
      ),
    );
    client.on("authenticationFailed", () => this.#over(authRefused(this.address)));
    client.connect();
  }

  get id(): Buffer {
    return this.#client.getSessionId();
  }

  get password(): Buffer {
    return this.#client.getSessionPassword();
  }

  get connected(): boolean {
    return this.#phase === "up";
  }

  /** As negotiated by the present or latest connection. */
  get timeoutMs(): number {
    return this.#client.getSessionTimeout();
  }

  /**
   * Connects if need be, then does the work on that connection. When the call is over before the work is, the
   * connection is destroyed, since it may still carry the request. `sparing` (for questions, which leave nothing
   * behind): only if it has answered nothing meanwhile; others may be using it.
   */
  async during<T>(
    call: Call,
    work: (wire: Wire) => Promise<T>,
    { sparing = false }: { readonly sparing?: boolean } = {},
  ): Promise<T> {
    const { signal } = call;
    if (signal.aborted) throw this.#givenUp(signal);
    let end = (_cause: LinkError): void => {};
    let onAbort = (): void => {};
    const answers = this.#answers;
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => {
        const cause = this.#givenUp(signal);
        end(cause);
        if (!sparing || this.#answers === answers) this.#drop(cause);
        reject(cause);
      };
      signal.addEventListener("abort", onAbort, { once: true });
    });
    const attempt = async (): Promise<T> => {
      await this.#connect(signal);
      if (signal.aborted) throw this.#givenUp(signal);
      const wire = this.#newWire();
      end = (cause) => {
        wire.end(cause);
        this.#wires.delete(wire);
      };
      return work(wire);
    };
    try {
      return await Promise.race([aborted, attempt()]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      aborted.catch(() => {});
      end(new LinkError("The call is over"));
    }
  }

  /** The present connection, for work that belongs to no call. Without one, the wire has ended. */
  wire(): Wire {
    if (this.#ownWire?.open !== true) this.#ownWire = this.#newWire();
    return this.#ownWire;
  }

  /**
   * Ends the session in one step at the server, which deletes its ephemeral nodes in the same transaction. Afterwards
   * the link is of no more use, whether or not that was confirmed: a driver that was told to close never connects again.
   */
  async closeSession(call: Call): Promise<void> {
    try {
      await this.during(
        call,
        () =>
          new Promise<void>((resolve, reject) => {
            this.#guard.closeSession((error) => {
              if (error === null) resolve();
              else reject(this.#loss);
            });
          }),
      );
    } finally {
      this.abandon();
    }
  }

  /** Lets go of the connection at once and for good. Nothing is reported any more. */
  abandon(): void {
    this.#ended ??= new LinkError("The session was let go of");
    this.#guard.abandon(this.#ended);
    this.#settle(this.#ended);
  }

  #newWire(): Wire {
    const wire = new Wire({
      client: this.#client,
      acls: this.#acls,
      address: this.address,
      cork: () => this.#guard.cork(),
      answered: () => void (this.#answers += 1),
      watches: this.#watches,
    });
    if (this.#phase === "up") this.#wires.add(wire);
    else wire.end(this.#ended ?? this.#loss);
    return wire;
  }

  #givenUp(signal: AbortSignal): LinkError {
    return new LinkError(`The call to ${this.address} was given up`, { cause: signal.reason });
  }

  async #connect(signal: AbortSignal): Promise<void> {
    if (this.#ended !== null) throw this.#ended;
    if (this.#phase === "up") return;
    // Every server gets one try within one call.
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { attempts: this.#guard.servers.length, resolve, reject };
    const leave = (): void => void this.#waiters.delete(waiter);
    this.#waiters.add(waiter);
    signal.addEventListener("abort", leave, { once: true });
    this.#guard.dial();
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  #up(): void {
    if (this.#ended !== null) return;
    this.#phase = "up";
    this.#connections += 1;
    const first = this.#connections === 1;
    for (const waiter of this.#waiters) waiter.resolve();
    this.#waiters.clear();
    this.#tell((events) => events.connected(first));
  }

  #drop(cause: Error): void {
    // Not the server's failure: whoever else waits for a connection keeps all attempts.
    if (this.#guard.drop(cause)) this.#phase = "going";
  }

  /** What belongs to the connection ends with it: watches, and whatever is under way on its wires. */
  #lose(cause: Error | null): void {
    const why =
      cause === null || isReset(cause)
        ? "the server closed it (has it a quorum? too many connections from this host?)"
        : cause.message;
    this.#loss = new LinkError(`No connection to ZooKeeper at ${this.address}: ${why}`, { cause });
    if (this.#phase !== "up") return;
    this.#phase = "going";
    this.#endWires(this.#loss);
    this.#tell((events) => events.disconnected(this.#loss));
  }

  /** A socket closed: a connection was lost, or an attempt at one failed. */
  #closed(): void {
    if (this.#ended !== null) return;
    const attempt = this.#phase === "down";
    this.#phase = "down";
    for (const waiter of attempt ? this.#waiters : []) {
      waiter.attempts -= 1;
      if (waiter.attempts > 0) continue;
      this.#waiters.delete(waiter);
      waiter.reject(this.#loss);
    }
    if (this.#waiters.size > 0) this.#guard.dial();
  }

  #over(reason: Error): void {
    if (this.#ended !== null) return;
    this.#ended = reason;
    this.#guard.abandon(reason);
    this.#settle(reason);
    queueMicrotask(() => this.#events.ended(reason));
  }

  #settle(reason: Error): void {
    this.#phase = "going";
    this.#endWires(reason);
    for (const waiter of this.#waiters) waiter.reject(reason);
    this.#waiters.clear();
  }

  #endWires(cause: Error): void {
    this.#watches.clear();
    for (const wire of this.#wires) wire.end(cause);
    this.#wires.clear();
  }

  /**
   * We are inside the driver's socket handler, where nobody else's code should run. And what is told comes after what
   * the answers before it set off: of a packet that holds "you lead" and "your leader node was deleted", the second
   * must not be heard first. (A tick that is asked for in a microtask comes when all microtasks are done.)
   */
  #tell(say: (events: LinkEvents) => void): void {
    queueMicrotask(() =>
      process.nextTick(() => {
        if (this.#ended === null) say(this.#events);
      }),
    );
  }
}

/** A server that closes while the handshake is on its way to it resets: the same to us as an orderly end. */
function isReset(cause: Error): boolean {
  return "code" in cause && cause.code === "ECONNRESET";
}
