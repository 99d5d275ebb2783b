/** One session: this process's life, as far as elections are concerned, and what is claimed in its name. */

import type {
  Call,
  Claim,
  ClaimAnswer,
  ClaimRequest,
  Poll,
  Proof,
  Session,
  SessionEvents,
} from "@elect/core/adapter";
import { whenFree } from "./busy.ts";
import { answer, survey } from "./claiming.ts";
import { count, text } from "./client.ts";
import { explained, isBusy, Replaced, SessionOver } from "./errors.ts";
import type { OwnLife } from "./life.ts";
import type { Neighbours } from "./neighbours.ts";
import type { Statements } from "./sql.ts";
import type { Store } from "./store.ts";

/** How often a process that waits looks at whom it waits for. */
const pollMs = 25;

/**
 * How long a claim waits for a busy database. When a leader dies, all who wait come at once, and the others see who
 * has won as soon as one has; whoever comes too early for that looks again with the next poll.
 */
const claimPatienceMs = 5;

export interface SessionParts {
  readonly id: string;
  readonly ttlMs: number;
  readonly directory: string;
  readonly store: Store;
  readonly life: OwnLife;
  readonly neighbours: Neighbours;
  readonly events: SessionEvents;
  readonly warnings: readonly string[];
}

export class SqliteSession implements Session {
  readonly id: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly proofLagMs = 0;
  readonly ticket: string;
  readonly poll: Poll;
  readonly warnings: readonly string[];
  readonly #directory: string;
  readonly #store: Store;
  readonly #life: OwnLife;
  readonly #neighbours: Neighbours;
  readonly #events: SessionEvents;
  /** Our copy of the row's: a claim that finds another one there is an old one (S4). */
  #generation = 0;
  /** The state of the database in which our records were last seen to be there. */
  #seen: number | null = null;

  constructor(parts: SessionParts) {
    this.id = parts.id;
    this.ttlMs = parts.ttlMs;
    this.store = parts.store.id;
    this.ticket = JSON.stringify({ version: 1, session: parts.id });
    this.warnings = parts.warnings;
    this.#directory = parts.directory;
    this.#store = parts.store;
    this.#life = parts.life;
    this.#neighbours = parts.neighbours;
    this.#events = parts.events;
    this.poll = { everyMs: pollMs, look: () => this.#neighbours.look() };
  }

  /**
   * The authority is the kernel (our lock) and, in mode "lease", a row in a file of our own: a proof needs nobody else, so
   * no leader falls because another process was stopped in the middle of a commit. The database is looked at only
   * when somebody has changed it (S5), and only if it is free.
   */
  async prove(held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof> {
    call.signal.throwIfAborted();
    try {
      const reason = this.#life.prove();
      if (reason !== null) return { kind: "dead", reason };
      if (this.#store.isReplaced()) return { kind: "dead", reason: new Replaced(this.#store.path).message };
      const lost = this.#lost(held);
      if (lost === null) return { kind: "dead", reason: "its row was deleted from the database" };
      return { kind: "alive", ttlMs: this.ttlMs, covers: "all", lost };
    } catch (error) {
      throw explained(error, this.#directory);
    }
  }

  /** One transaction for all that are due; none that writes while all of them are held by others. */
  async claim(requests: readonly ClaimRequest[], call: Call): Promise<readonly ClaimAnswer[]> {
    const generation = this.#generation;
    const bid = { id: this.id, generation, requests, neighbours: this.#neighbours };
    try {
      const look = (): ClaimAnswer[] | null => this.#store.read((sql) => survey(sql, bid));
      const take = (): ClaimAnswer[] => this.#store.write((sql) => answer(sql, bid));
      return await this.#whenFree(
        call,
        () => {
          this.#assertAlive();
          return this.#transaction(look) ?? this.#transaction(take);
        },
        claimPatienceMs,
      );
    } catch (error) {
      if (!isBusy(error)) throw error;
      // Somebody else is deciding. Nothing was done, and the next look may come soon.
      return requests.map(() => ({ kind: "held", by: null, retryInMs: pollMs, patience: null }));
    }
  }

  async release(claims: readonly Claim[], call: Call): Promise<void> {
    await this.#giveBack(claims, call, () => {});
  }

  async dispose(claims: readonly Claim[], call: Call): Promise<void> {
    let generation = this.#generation;
    await this.#giveBack(claims, call, (sql) => {
      const row = sql.raiseGeneration.get(this.id);
      if (row !== undefined) generation = count(row, "generation");
    });
    this.#generation = generation;
  }

  async end(call: Call): Promise<void> {
    await this.#whenFree(call, () => this.#store.write((sql) => sql.endSession.run(this.id)));
    this.#life.end();
    this.#neighbours.close();
  }

  abandon(): void {
    this.#life.abandon();
    this.#neighbours.close();
  }

  async #giveBack(claims: readonly Claim[], call: Call, first: (sql: Statements) => void): Promise<void> {
    const freed = await this.#whenFree(call, () =>
      this.#store.write((sql) => {
        first(sql);
        let records = 0;
        for (const { election, nonce } of claims) {
          records += Number(sql.release.run(election, this.id, nonce).changes);
          sql.leave.run(election, nonce);
        }
        return records;
      }),
    );
    for (const { election } of claims) this.#neighbours.forget(election);
    if (freed === 0) return;
    this.#life.stir();
    // Other candidates of this session do not look at it from outside.
    for (const { election } of claims) this.#events.hint(election);
  }

  /** Which of these claims have no record any more; `null`: the session itself has none. */
  #lost(held: ReadonlyMap<string, Claim>): Claim[] | null {
    try {
      const version = this.#store.version();
      if (version === this.#seen) return [];
      const nonces = this.#store.read((sql) =>
        sql.session.get(this.id) === undefined
          ? null
          : sql.heldBy.all(this.id).map((row) => text(row, "nonce")),
      );
      if (nonces === null) return null;
      this.#seen = version;
      const there = new Set(nonces);
      return [...held.values()].filter(({ nonce }) => !there.has(nonce));
    } catch (error) {
      if (!isBusy(error)) throw error;
      return [];
    }
  }

  #transaction<T>(work: () => T): T {
    let committed = false;
    try {
      const result = work();
      committed = true;
      return result;
    } finally {
      this.#neighbours.settle(committed);
    }
  }

  async #whenFree<T>(call: Call, attempt: () => T, patienceMs?: number): Promise<T> {
    try {
      return await whenFree(call, attempt, patienceMs);
    } catch (error) {
      if (error instanceof SessionOver) this.#events.ended(error.message);
      throw explained(error, this.#directory);
    }
  }

  #assertAlive(): void {
    const reason = this.#life.over();
    if (reason !== null) throw new SessionOver(reason);
    if (this.#store.isReplaced()) throw new Replaced(this.#store.path);
  }
}
