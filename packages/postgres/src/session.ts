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
import { Claiming, type Hear } from "./claiming.ts";
import type { Row } from "./driver.ts";
import { isMissing, pooler } from "./errors.ts";
import { Life, SessionOver } from "./life.ts";
import type { Settings } from "./options.ts";
import { endSession } from "./remains.ts";
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
  readonly #claiming: Claiming;

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
    this.#claiming = new Claiming(life, sql, this.id, this.ttlMs);
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
    return {
      kind: "alive",
      ttlMs: this.ttlMs,
      covers: "all",
      lost: await this.#claiming.missing(held, found, call),
    };
  }

  claim(requests: readonly ClaimRequest[], call: Call, heard?: Hear): Promise<readonly ClaimAnswer[]> {
    return this.#claiming.claim(requests, call, heard);
  }

  release(claims: readonly Claim[], call: Call): Promise<void> {
    return this.#claiming.release(claims, call);
  }

  /**
   * The generation of S4 is the life key. An outcome is unknown only when the connection that carried the claim was
   * destroyed; the one that carries this call has a new key, which the claim's delayed copy does not have.
   */
  dispose(claims: readonly Claim[], call: Call): Promise<void> {
    return this.release(claims, call);
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
}

/** Elections that stand free though we wait for them: a wake-up that was lost, or went to one who did not act on it. */
function vacantIn(found: Row): string[] {
  const vacant: unknown = JSON.parse(found["vacant"] ?? "[]");
  return Array.isArray(vacant) ? vacant.filter((name) => typeof name === "string") : [];
}
