/**
 * How a session's claims are made and given back. A claim first joins the queue, once; then it takes what is free, and where a
 * holder may be dead it first has it declared so. What the answers mean is in readings.ts.
 */

import type { Call, Claim, ClaimAnswer, ClaimRequest } from "@elect/core/adapter";

import type { Row } from "./driver.ts";
import { isMissing, sqlstate, stateOf } from "./errors.ts";
import { SessionOver, type Life } from "./life.ts";
import { readAll, type Reading } from "./readings.ts";
import { lookAgain, namesIn } from "./remains.ts";
import type { Sql } from "./sql.ts";

/** Takes the answer to `requests[index]` before all are known. */
export type Hear = (index: number, answer: ClaimAnswer) => void;

/** To take over so many takes the server long enough for half of them to be led while it is at the others. */
const worthHalving = 500;

export class Claiming {
  readonly #life: Life;
  readonly #sql: Sql;
  /** The session's. */
  readonly #id: string;
  readonly #ttlMs: number;
  /** What was granted and not given back: token by nonce. A proof compares it with what the store has. */
  readonly #terms = new Map<string, bigint>();
  /** The nonces that are known to be in the queue. */
  readonly #queued = new Set<string>();

  constructor(life: Life, sql: Sql, id: string, ttlMs: number) {
    this.#life = life;
    this.#sql = sql;
    this.#id = id;
    this.#ttlMs = ttlMs;
  }

  async claim(
    requests: readonly ClaimRequest[],
    call: Call,
    heard: Hear = () => {},
  ): Promise<readonly ClaimAnswer[]> {
    await this.#join(
      requests.filter(({ nonce }) => !this.#queued.has(nonce)),
      call,
    );
    const readings = await this.#ask(requests, call, heard);
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
      this.#life.runFor(claims.length, this.#sql.release, [this.#id, names, nonces, wake], call);
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

  /** The claims of `held` that the store has no more, found by count and sum: a proof does not carry a thousand names. */
  async missing(held: ReadonlyMap<string, Claim>, found: Row, call: Call): Promise<readonly Claim[]> {
    let tokens = 0n;
    for (const token of this.#terms.values()) tokens += token;
    if (found["terms"] === `${this.#terms.size}` && found["tokens"] === `${tokens}`) return [];
    const rows = await this.#life.run(this.#sql.held, [this.#id], call);
    const there = new Set(rows.map(({ nonce }) => nonce));
    const lost = [...held.values()].filter(({ nonce }) => this.#terms.has(nonce) && !there.has(nonce));
    for (const { nonce } of lost) this.#terms.delete(nonce);
    return lost;
  }

  async #join(requests: readonly ClaimRequest[], call: Call): Promise<void> {
    if (requests.length === 0) return;
    await this.#life.runFor(requests.length, this.#sql.join, this.#asked(requests), call);
    for (const { nonce } of requests) this.#queued.add(nonce);
  }

  async #ask(requests: readonly ClaimRequest[], call: Call, heard: Hear = () => {}): Promise<Reading[]> {
    const readings: Reading[] = [];
    const parts = halves(requests);
    await this.#life.runInParts(
      requests.length,
      this.#sql.claim,
      parts.map((part) => [...this.#asked(part), this.#ttlMs]),
      call,
      (rows, nth) => {
        const found = readAll(rows, parts[nth] ?? [], this.#id);
        if (found === null) throw new Error("The session is dead, or a newer connection carries it.");
        for (const reading of found) {
          const index = readings.push(reading) - 1;
          const { answer } = reading;
          const nonce = requests[index]?.nonce;
          if (answer.kind !== "granted" || nonce === undefined) continue;
          this.#terms.set(nonce, answer.token);
          this.#queued.delete(nonce);
          heard(index, answer);
        }
      },
    );
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

  #asked(requests: readonly ClaimRequest[]): [string, string[], string[], string[], string[]] {
    return [
      this.#id,
      requests.map(({ election }) => election),
      requests.map(({ nonce }) => nonce),
      requests.map(({ candidate }) => candidate.id),
      requests.map(({ candidate }) => candidate.metadata),
    ];
  }
}

function halves<T>(all: readonly T[]): (readonly T[])[] {
  const middle = Math.ceil(all.length / 2);
  return all.length < worthHalving ? [all] : [all.slice(0, middle), all.slice(middle)];
}
