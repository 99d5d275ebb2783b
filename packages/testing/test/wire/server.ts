/**
 * A store on a wire, as small as can be: core's store in memory behind a TCP socket, one JSON message a line. With it
 * the suite, the proxy and the candidate processes are tested without any server; and, broken on purpose
 * ({@link Breakage}), it shows that the suite notices.
 */

import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { MemoryAdapter, type Call, type Claim, type ClaimRequest, type Session } from "@elect/core/adapter";
import { readLines } from "./lines.ts";

/** What can be wrong with a store or its adapter; each of them was wrong in some library. */
export type Breakage =
  /** A session ends before its lease does. */
  | "ends-early"
  /** Disposing does not raise the generation: a late claim is granted. */
  | "late-ghosts"
  /** A claim is granted to anyone of the session that holds the election. */
  | "own-session"
  /** Tokens go through a float. */
  | "float-tokens"
  /** Tokens begin again when the election is released. */
  | "token-restarts"
  /** A proof is answered without asking the store. */
  | "cached-proof"
  /** A release is forgotten. */
  | "no-release"
  /** A release takes whatever record is there. */
  | "release-any"
  /** Who gives up waiting stays in the queue. */
  | "no-withdrawal"
  /** Nobody is woken by a release. */
  | "no-wake-up"
  /** Everybody is woken by a release. */
  | "herd"
  /** Deleted records are not noticed by a proof. */
  | "blind-proof";

type SessionRequest = "attach" | "prove" | "claim" | "release" | "dispose" | "end";

export interface Request {
  readonly id: number;
  readonly op: "open" | "read" | "candidates" | "watch" | SessionRequest;
  readonly session?: string;
  readonly election?: string;
  readonly ttlMs?: number;
  readonly generation?: number;
  readonly claims?: readonly (Claim | ClaimRequest)[];
}

interface OpenSession {
  readonly session: Session;
  generation: number;
  socket: Socket;
}

const call: Call = { signal: new AbortController().signal, timeoutMs: 1000 };

export class WireServer {
  readonly #server: Server;
  readonly #memory: MemoryAdapter = new MemoryAdapter();
  readonly #broken: Breakage | undefined;
  readonly #sessions = new Map<string, OpenSession>();
  readonly #sockets = new Set<Socket>();
  readonly #holders = new Map<string, { session: string; claim: Claim }>();
  readonly #base = new Map<string, bigint>();

  constructor(broken?: Breakage) {
    this.#broken = broken;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  async listen(): Promise<number> {
    await new Promise<void>((listening) => this.#server.listen(0, "127.0.0.1", listening));
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** What an operator does to the leader of an election. */
  async removeLeader(election: string): Promise<void> {
    const holder = this.#holders.get(election);
    const open = holder && this.#sessions.get(holder.session);
    if (holder !== undefined) await open?.session.release([holder.claim], call);
  }

  async endSession(election: string): Promise<void> {
    const holder = this.#holders.get(election);
    if (holder !== undefined) await this.#memory.end(holder.session);
  }

  async leftovers(election: string): Promise<string[]> {
    return (await this.#memory.candidates(election)).map(({ id }) => id);
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    readLines(socket, (line) => void this.#answer(socket, JSON.parse(line) as Request));
  }

  async #answer(socket: Socket, request: Request): Promise<void> {
    try {
      tell(socket, { id: request.id, answer: await this.#obey(socket, request) });
    } catch (error) {
      tell(socket, { id: request.id, error: String(error) });
    }
  }

  async #obey(socket: Socket, request: Request): Promise<unknown> {
    const { op, session: name = "", election = "" } = request;
    switch (op) {
      case "open":
        return this.#open(socket, name, request.ttlMs ?? 0);
      case "read": {
        const leader = await this.#memory.read(election);
        return leader === null ? null : { ...leader, token: this.#token(election, leader.token) };
      }
      case "candidates":
        return this.#memory.candidates(election);
      case "watch":
        socket.once(
          "close",
          (await this.#memory.watch(election, () => tell(socket, { changed: election }))).close,
        );
        return null;
      default:
        return this.#obeyIn(this.#session(name), op, socket, request);
    }
  }

  #session(name: string): OpenSession {
    const open = this.#sessions.get(name);
    if (open === undefined) throw new Error("no such session");
    return open;
  }

  async #obeyIn(open: OpenSession, op: SessionRequest, socket: Socket, request: Request): Promise<unknown> {
    const { session } = open;
    const { claims = [] } = request;
    switch (op) {
      case "attach":
        open.socket = socket;
        return null;
      case "prove": {
        const proof = await session.prove(new Map(claims.map((claim) => [claim.nonce, claim])), call);
        return this.#broken === "blind-proof" && proof.kind === "alive" ? { ...proof, lost: [] } : proof;
      }
      case "claim":
        if (open.generation !== request.generation && this.#broken !== "late-ghosts")
          throw new Error("an old generation");
        return Promise.all(claims.map((claim) => this.#claim(open, claim as ClaimRequest)));
      case "dispose":
        open.generation = request.generation ?? 0;
        return this.#release(session, claims);
      case "release":
        return this.#release(session, claims);
      case "end":
        this.#sessions.delete(session.id);
        return this.#memory.end(session.id);
    }
  }

  async #open(socket: Socket, name: string, ttlMs: number): Promise<unknown> {
    const push = (message: object): void => {
      const socket = this.#sessions.get(name)?.socket;
      if (socket !== undefined) tell(socket, { session: name, ...message });
    };
    const granted = this.#broken === "ends-early" ? ttlMs * 0.4 : ttlMs;
    const session = await this.#memory.open({
      ttlMs: granted,
      nonce: name,
      events: {
        hint: (election) => void (this.#broken === "no-wake-up" || push({ hint: election })),
        doubt: () => {},
        lost: (claim, reason) => push({ lost: claim, reason }),
        ended: (reason) => push({ ended: reason }),
      },
    });
    this.#sessions.set(name, { session, generation: 0, socket });
    return { store: session.store, ttlMs };
  }

  async #claim({ session }: OpenSession, claim: ClaimRequest): Promise<unknown> {
    const { election } = claim;
    const holder = this.#holders.get(election);
    const own =
      this.#broken === "own-session" && holder?.session === session.id && holder.claim.nonce !== claim.nonce;
    const [answer] = await session.claim([own ? { ...claim, nonce: holder.claim.nonce } : claim], call);
    if (answer?.kind === "held") {
      const waits = this.#broken === "no-wake-up" || this.#broken === "no-release";
      return {
        ...answer,
        by: answer.by && { ...answer.by, token: this.#token(election, answer.by.token) },
        retryInMs: waits ? null : answer.retryInMs,
      };
    }
    if (answer?.kind !== "granted") return answer;
    this.#holders.set(election, { session: session.id, claim });
    if (this.#broken === "token-restarts" && !this.#base.has(election))
      this.#base.set(election, answer.token - 1n);
    return { kind: "granted", token: this.#token(election, answer.token) };
  }

  async #release(session: Session, claims: readonly Claim[]): Promise<void> {
    if (this.#broken === "no-release") return;
    for (const claim of claims) {
      const holder = this.#holders.get(claim.election);
      const holds = holder?.session === session.id && holder.claim.nonce === claim.nonce;
      if (this.#broken === "no-withdrawal" && !holds) continue;
      await session.release([claim], call);
      if (this.#broken === "release-any") await this.removeLeader(claim.election);
    }
    if (this.#broken === "token-restarts") for (const { election } of claims) this.#base.delete(election);
    if (this.#broken !== "herd") return;
    for (const { election } of claims) {
      for (const [name, { socket }] of this.#sessions) tell(socket, { session: name, hint: election });
    }
  }

  #token(election: string, token: bigint): string {
    if (this.#broken === "float-tokens") return String(BigInt(Number(token + 2n ** 60n)));
    return String(token - (this.#base.get(election) ?? 0n));
  }
}

function tell(socket: Socket, message: object): void {
  if (!socket.writable) return;
  socket.write(
    `${JSON.stringify(message, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value))}\n`,
  );
}
