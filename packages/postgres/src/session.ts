/**
 * A session: a row with a lease on the server's clock, and a life lock on this process's own connection. It is dead
 * when the row says so, and the row says so only when both have gone (or its owner ended it).
 */

import type {
  Call,
  Claim,
  ClaimAnswer,
  ClaimRequest,
  OpenRequest,
  Proof,
  Session,
  SessionEvents,
} from "@elect/core/adapter";

import { neighbourChanged, wakeMorePrefix, wakePrefix } from "./channels.ts";
import { readAll, type Reading } from "./claiming.ts";
import type { Row } from "./client.ts";
import { isMissing, pooler, sqlstate, stateOf } from "./errors.ts";
import { Life, SessionOver } from "./life.ts";
import type { Settings } from "./options.ts";
import { endSession, lookAgain, namesIn } from "./remains.ts";
import { Ring } from "./ring.ts";
import type { Server } from "./server.ts";
import type { Sql } from "./sql.ts";

export class PostgresSession implements Session {
  readonly id: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly proofLagMs = 0;
  readonly poll = null;
  readonly warnings: readonly string[];
  readonly #settings: Settings;
  readonly #sql: Sql;
  readonly #events: SessionEvents;
  readonly #life: Life;
  readonly #ring: Ring | null;
  /** What was granted and not given back: token by nonce. A proof compares it with what the store has. */
  readonly #terms = new Map<string, bigint>();
  /** The nonces that are known to be in the queue. */
  readonly #queued = new Set<string>();

  private constructor(
    settings: Settings,
    sql: Sql,
    request: OpenRequest,
    life: Life,
    server: Server,
    ring: Ring | null,
  ) {
    this.id = request.nonce;
    this.store = server.store;
    this.ttlMs = request.ttlMs;
    this.warnings = server.warnings;
    this.#settings = settings;
    this.#sql = sql;
    this.#events = request.events;
    this.#life = life;
    this.#ring = ring;
  }

  static async open(
    settings: Settings,
    sql: Sql,
    request: OpenRequest,
    call: Call,
  ): Promise<PostgresSession> {
    const { nonce, events } = request;
    const ttlMs = Math.ceil(request.ttlMs);
    let woken: string[] = [];
    const life: Life = new Life(nonce, settings, sql, ttlMs, {
      told(message) {
        if (message === neighbourChanged) return ring?.enter();
        const prefix = [wakePrefix, wakeMorePrefix].find((known) => message.startsWith(known));
        if (prefix === undefined) return;
        woken.push(...message.slice(prefix.length).split("\n"));
        if (prefix === wakeMorePrefix) return;
        for (const election of woken) events.hint(election);
        woken = [];
      },
      resumed: () => events.hint(null),
      shaken: (cause) => events.doubt(cause),
      over: (reason) => events.ended(reason),
    });
    const ring = settings.takeover === "connection" ? new Ring(settings, sql, nonce, ttlMs) : null;
    try {
      const server = await life.begin(call);
      if (ring !== null) {
        await life.run(sql.greet, [nonce], call);
        ring.enter();
      }
      return new PostgresSession(settings, sql, { ...request, ttlMs }, life, server, ring);
    } catch (error) {
      ring?.leave();
      life.abandon();
      throw error;
    }
  }

  get ticket(): string {
    return this.id;
  }

  async prove(held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof> {
    let found: Row | undefined;
    try {
      [found] = await this.#life.run(
        this.#sql.prove,
        [this.id, this.ttlMs, this.#ring !== null],
        call,
        "kept",
      );
    } catch (error) {
      if (error instanceof SessionOver) return { kind: "dead", reason: error.message };
      if (isMissing(error))
        return { kind: "dead", reason: "somebody dropped the tables in which it was kept" };
      throw error;
    }
    if (found?.["life"] !== this.#life.key) {
      throw pooler(
        this.#settings.address,
        "the proof arrived at another process of the server than the session's own",
      );
    }
    if (found["alive"] !== "1") return { kind: "dead", reason: new SessionOver().message };
    for (const election of vacantIn(found)) this.#events.hint(election);
    this.#ring?.tend(found["neighbour"] ?? null);
    return { kind: "alive", ttlMs: this.ttlMs, covers: "all", lost: await this.#missing(held, found, call) };
  }

  async claim(requests: readonly ClaimRequest[], call: Call): Promise<readonly ClaimAnswer[]> {
    await this.#join(
      requests.filter(({ nonce }) => !this.#queued.has(nonce)),
      call,
    );
    const readings = await this.#ask(requests, call);
    const again = await this.#clearTheWay(requests, readings, call);
    if (again.length > 0) {
      const second = await this.#ask(
        again.map((index) => requests[index]).filter((request) => request !== undefined),
        call,
      );
      for (const [nth, index] of again.entries()) {
        const reading = second[nth];
        if (reading !== undefined) readings[index] = reading;
      }
    }
    return readings.map(({ answer }) => answer);
  }

  async release(claims: readonly Claim[], call: Call): Promise<void> {
    const withdrawn = claims.filter(({ nonce }) => !this.#terms.has(nonce));
    for (const { nonce } of claims) {
      this.#terms.delete(nonce);
      this.#queued.delete(nonce);
    }
    const names = claims.map(({ election }) => election);
    const nonces = claims.map(({ nonce }) => nonce);
    const letGo = async (wake: boolean): Promise<readonly Row[]> =>
      this.#life.runFor(claims.length, this.#sql.release, [this.id, names, nonces, wake], call);
    let free: readonly Row[];
    try {
      free = await letGo(true);
    } catch (error) {
      if (error instanceof SessionOver || isMissing(error)) return;
      // The server's queue of notifications is full: nobody is woken, and nothing stays held for that.
      if (stateOf(error) !== sqlstate.tooLarge) throw error;
      free = await letGo(false);
    }
    const unheard = namesIn(free.filter(({ woken }) => woken === null));
    const passedOn = new Set(namesIn(free));
    const left = withdrawn.flatMap(({ election }) => (passedOn.has(election) ? [] : election));
    try {
      await lookAgain(
        async (text, values) => this.#life.run(text, values, call, "kept"),
        this.#sql,
        unheard,
        left,
      );
    } catch {
      // They are let go all the same; a proof of whoever waits finds out.
    }
  }

  /**
   * The generation of S4 is the life key. An outcome is unknown only when the connection that carried the claim was
   * destroyed; the one that carries this call has a new key, which the claim's delayed copy does not have.
   */
  async dispose(claims: readonly Claim[], call: Call): Promise<void> {
    await this.release(claims, call);
  }

  async end(call: Call): Promise<void> {
    this.#ring?.leave();
    try {
      await endSession(async (text, values) => this.#life.run(text, values, call), this.#sql, this.id);
    } catch (error) {
      if (!(error instanceof SessionOver) && !isMissing(error)) throw error;
    }
    await this.#life.end(call);
  }

  abandon(): void {
    this.#ring?.leave();
    this.#life.abandon();
  }

  async #join(requests: readonly ClaimRequest[], call: Call): Promise<void> {
    if (requests.length === 0) return;
    await this.#life.runFor(requests.length, this.#sql.join, this.#asked(requests), call);
    for (const { nonce } of requests) this.#queued.add(nonce);
  }

  async #ask(requests: readonly ClaimRequest[], call: Call): Promise<Reading[]> {
    const rows = await this.#life.runFor(
      requests.length,
      this.#sql.claim,
      [...this.#asked(requests), this.ttlMs],
      call,
    );
    const readings = readAll(rows, requests, this.id);
    if (readings === null) throw new Error("The session is dead, or a newer connection carries it.");
    for (const [index, { answer }] of readings.entries()) {
      const nonce = requests[index]?.nonce;
      if (answer.kind !== "granted" || nonce === undefined) continue;
      this.#terms.set(nonce, answer.token);
      this.#queued.delete(nonce);
    }
    return readings;
  }

  /** Removes what can be removed from the way of these requests; answers which of them to ask again. */
  async #clearTheWay(
    requests: readonly ClaimRequest[],
    readings: readonly Reading[],
    call: Call,
  ): Promise<number[]> {
    const again: number[] = [];
    const absent: ClaimRequest[] = [];
    const dead = new Map<string, boolean>();
    for (const [index, { obstacle }] of readings.entries()) {
      const request = requests[index];
      if (obstacle === null || request === undefined) continue;
      let removed = true;
      if (obstacle.kind === "absent") absent.push(request);
      else if (obstacle.kind === "orphan")
        await this.#life.run(this.#sql.vacateOrphan, [request.election, obstacle.token], call);
      else {
        const { session, version } = obstacle;
        removed = dead.get(session) ?? (await this.#bury(session, version, requests, call));
        dead.set(session, removed);
      }
      if (removed) again.push(index);
    }
    await this.#join(absent, call);
    return again;
  }

  /** Wakes nobody for what is being claimed. */
  async #bury(
    session: string,
    version: string,
    claimed: readonly ClaimRequest[],
    call: Call,
  ): Promise<boolean> {
    const names = claimed.map(({ election }) => election);
    try {
      const [found] = await this.#life.run(this.#sql.bury, [session, version, names], call);
      return found?.["buried"] === "1";
    } catch (error) {
      // Somebody has its row locked, most likely its own proof: then it is not dead.
      if (stateOf(error) === sqlstate.lockNotAvailable) return false;
      throw error;
    }
  }

  /** The claims of `held` that the store has no more, found by count and sum: a proof does not carry a thousand names. */
  async #missing(held: ReadonlyMap<string, Claim>, found: Row, call: Call): Promise<readonly Claim[]> {
    let tokens = 0n;
    for (const token of this.#terms.values()) tokens += token;
    if (found["terms"] === `${this.#terms.size}` && found["tokens"] === `${tokens}`) return [];
    const rows = await this.#life.run(this.#sql.held, [this.id], call);
    const there = new Set(rows.map(({ nonce }) => nonce));
    const lost = [...held.values()].filter(({ nonce }) => this.#terms.has(nonce) && !there.has(nonce));
    for (const { nonce } of lost) this.#terms.delete(nonce);
    return lost;
  }

  #asked(requests: readonly ClaimRequest[]): [string, string[], string[], string[], string[]] {
    return [
      this.id,
      requests.map(({ election }) => election),
      requests.map(({ nonce }) => nonce),
      requests.map(({ candidate }) => candidate.id),
      requests.map(({ candidate }) => candidate.metadata),
    ];
  }
}

/** Elections that stand free though we wait for them: a wake-up that was lost, or went to one who did not act on it. */
function vacantIn(found: Row): string[] {
  const vacant: unknown = JSON.parse(found["vacant"] ?? "[]");
  return Array.isArray(vacant) ? vacant.filter((name) => typeof name === "string") : [];
}
