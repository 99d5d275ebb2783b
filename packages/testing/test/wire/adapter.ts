/** The adapter of the store on a wire: `fromUrl("wire://127.0.0.1:port")`, also for child processes. */

import { connect, type Socket } from "node:net";
import {
  createBackend,
  type Adapter,
  type Backend,
  type Call,
  type CandidateRecord,
  type Capabilities,
  type Claim,
  type ClaimAnswer,
  type ClaimRequest,
  type LeaderRecord,
  type OpenRequest,
  type Proof,
  type Session,
  type SessionEvents,
  type Watch,
} from "@elect/core/adapter";
import { readLines } from "./lines.ts";
import type { Request } from "./server.ts";

export const capabilities: Capabilities = {
  reach: "network",
  crash: { ttls: 1, plusMs: 300 },
  stopped: { ttls: 1, plusMs: 300 },
  order: "fifo",
  maxTtlMs: 60_000,
  limits: [],
};

export function fromUrl(url: string): Backend {
  const [, host = "", port = ""] = /^wire:\/\/([^:/]+):(\d+)/.exec(url) ?? [];
  return createBackend(new WireAdapter(host, Number(port), url.includes("cached-proof")));
}

interface Message {
  readonly id?: number;
  readonly answer?: unknown;
  readonly error?: string;
  readonly session?: string;
  readonly hint?: string;
  readonly lost?: Claim;
  readonly ended?: string;
  readonly reason?: string;
  readonly changed?: string;
}

/** One connection at a time; a new one after a failure. */
class Wire {
  readonly #host: string;
  readonly #port: number;
  readonly #greet: (() => Omit<Request, "id">[]) | undefined;
  readonly #hear: (message: Message) => void;
  readonly #gone: () => void;
  readonly #asked = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>();
  #socket: Socket | null = null;
  #ids = 0;
  #closed = false;

  constructor(
    host: string,
    port: number,
    on: { hear(message: Message): void; gone(): void; greet?(): Omit<Request, "id">[] },
  ) {
    this.#host = host;
    this.#port = port;
    this.#hear = on.hear;
    this.#gone = on.gone;
    this.#greet = on.greet;
  }

  async ask<Answer>(request: Omit<Request, "id">, call: Call): Promise<Answer> {
    if (this.#closed) throw new Error("closed");
    const socket = this.#connected();
    const over = (): void => void socket.destroy(new Error("the call is over"));
    call.signal.addEventListener("abort", over, { once: true });
    try {
      return (await this.#send(socket, request)) as Answer;
    } finally {
      call.signal.removeEventListener("abort", over);
    }
  }

  close(): void {
    this.#closed = true;
    this.#socket?.destroy();
  }

  #connected(): Socket {
    if (this.#socket !== null) return this.#socket;
    const socket = connect({ host: this.#host, port: this.#port, noDelay: true });
    this.#socket = socket;
    let cause: Error = new Error("the connection was closed");
    socket.on("error", (error) => (cause = error));
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      if (this.#socket === socket) this.#socket = null;
      for (const { reject } of this.#asked.values()) reject(cause);
      this.#asked.clear();
      if (!this.#closed) this.#gone();
    });
    readLines(socket, (line) => this.#heard(JSON.parse(line) as Message));
    for (const greeting of this.#greet?.() ?? []) this.#send(socket, greeting).catch(() => {});
    return socket;
  }

  #send(socket: Socket, request: Omit<Request, "id">): Promise<unknown> {
    const id = ++this.#ids;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#asked.set(id, { resolve, reject });
    socket.write(`${JSON.stringify({ id, ...request })}\n`);
    return promise;
  }

  #heard(message: Message): void {
    if (message.id === undefined) return this.#hear(message);
    const asked = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    if (message.error === undefined) asked?.resolve(message.answer);
    else asked?.reject(new Error(message.error));
  }
}

class WireAdapter implements Adapter {
  readonly kind = "wire";
  readonly address: string;
  readonly capabilities: Capabilities = capabilities;
  readonly #wire: Wire;
  readonly #watches = new Map<string, Set<() => void>>();
  readonly #open: (request: OpenRequest, call: Call) => Promise<Session>;

  constructor(host: string, port: number, cachesProofs: boolean) {
    this.address = `wire://${host}:${port}`;
    this.#wire = new Wire(host, port, {
      hear: ({ changed }) =>
        void (changed !== undefined && this.#watches.get(changed)?.forEach((look) => look())),
      gone: () => this.#watches.forEach((looks) => looks.forEach((look) => look())),
      greet: () => [...this.#watches.keys()].map((election) => ({ op: "watch", election })),
    });
    this.#open = (request, call) => WireSession.open(host, port, request, call, cachesProofs);
  }

  open(request: OpenRequest, call: Call): Promise<Session> {
    return this.#open(request, call);
  }

  async end(ticket: string, call: Call): Promise<void> {
    await this.#wire.ask({ op: "end", session: ticket }, call);
  }

  async read(election: string, call: Call): Promise<LeaderRecord | null> {
    const leader = await this.#wire.ask<(LeaderRecord & { token: never }) | null>(
      { op: "read", election },
      call,
    );
    return leader === null ? null : { ...leader, token: BigInt(leader.token) };
  }

  candidates(election: string, call: Call): Promise<readonly CandidateRecord[]> {
    return this.#wire.ask({ op: "candidates", election }, call);
  }

  async watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    const looks = this.#watches.get(election) ?? new Set();
    this.#watches.set(election, looks.add(changed));
    await this.#wire.ask({ op: "watch", election }, call);
    return { pollMs: 1000, close: () => void looks.delete(changed) };
  }

  async close(): Promise<void> {
    this.#wire.close();
  }
}

class WireSession implements Session {
  readonly id: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly proofLagMs = 0;
  readonly ticket: string;
  readonly poll = null;
  readonly warnings: readonly string[] = [];
  readonly #wire: Wire;
  readonly #cachesProofs: boolean;
  #generation = 0;

  static async open(
    host: string,
    port: number,
    request: OpenRequest,
    call: Call,
    cachesProofs: boolean,
  ): Promise<WireSession> {
    const { nonce, ttlMs, events } = request;
    let opened = false;
    const wire = new Wire(host, port, {
      hear: (message) => hear(events, message),
      gone: () => void (opened && events.doubt(new Error("the connection was lost"))),
      greet: () => (opened ? [{ op: "attach", session: nonce }] : []),
    });
    try {
      const { store } = await wire.ask<{ store: string }>({ op: "open", session: nonce, ttlMs }, call);
      opened = true;
      return new WireSession(nonce, store, ttlMs, wire, cachesProofs);
    } catch (error) {
      wire.close();
      throw error;
    }
  }

  private constructor(id: string, store: string, ttlMs: number, wire: Wire, cachesProofs: boolean) {
    this.id = id;
    this.ticket = id;
    this.store = store;
    this.ttlMs = ttlMs;
    this.#wire = wire;
    this.#cachesProofs = cachesProofs;
  }

  prove(held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof> {
    if (this.#cachesProofs)
      return Promise.resolve({ kind: "alive", ttlMs: this.ttlMs, covers: "all", lost: [] });
    return this.#wire.ask({ op: "prove", session: this.id, claims: [...held.values()] }, call);
  }

  async claim(claims: readonly ClaimRequest[], call: Call): Promise<readonly ClaimAnswer[]> {
    const answers = await this.#wire.ask<readonly ClaimAnswer[]>(
      { op: "claim", session: this.id, claims, generation: this.#generation },
      call,
    );
    return answers.map((answer) => {
      if (answer.kind === "granted") return { ...answer, token: BigInt(answer.token) };
      if (answer.kind !== "held" || answer.by === null) return answer;
      return { ...answer, by: { ...answer.by, token: BigInt(answer.by.token) } };
    });
  }

  async release(claims: readonly Claim[], call: Call): Promise<void> {
    await this.#wire.ask({ op: "release", session: this.id, claims }, call);
  }

  async dispose(claims: readonly Claim[], call: Call): Promise<void> {
    this.#generation += 1;
    await this.#wire.ask({ op: "dispose", session: this.id, claims, generation: this.#generation }, call);
  }

  async end(call: Call): Promise<void> {
    await this.#wire.ask({ op: "end", session: this.id }, call);
    this.#wire.close();
  }

  abandon(): void {
    this.#wire.close();
  }
}

function hear(events: SessionEvents, { hint, lost, ended, reason }: Message): void {
  if (hint !== undefined) events.hint(hint);
  if (lost !== undefined) events.lost(lost, reason ?? "lost");
  if (ended !== undefined) events.ended(ended);
}
