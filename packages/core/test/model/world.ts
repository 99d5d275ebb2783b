/**
 * A world of candidates and one store, driven by a tape of bytes: each byte decides what happens next. Messages may
 * be late, lost on the way or lost on the way back; clocks jump; candidates abort, close, resign and crash their work.
 * The candidates' decisions are the transition function's; everything else is as hostile as the port allows.
 *
 * The store ends a lease 1 % early by true time, which is the clock error that the contract allows.
 */

import { Lease } from "../../src/lease.ts";
import type { Effect, Fact, State, Step } from "../../src/election-state.ts";
import { initial, isValid } from "../../src/election-state.ts";
import { moves } from "./moves.ts";

export type Transition = (state: State, fact: Fact, now: number) => Step;
/** From which instant a proof counts: the contract says from its sending. */
export type CountsFrom = "sending" | "reply";

const ttl = 1_000;

interface Message {
  readonly kind: "claim" | "release" | "proof";
  readonly session: number;
  readonly nonce: string;
  readonly sentAt: number;
}

interface Reply {
  readonly message: Message;
  readonly token: bigint | null;
}

export interface Candidate {
  readonly name: string;
  state: State;
  /** Raised with each session; what belongs to an older one is ignored. */
  session: number;
  lease: Lease;
  nonces: number;
  working: boolean;
  /** The token of the term announced and not yet lost. */
  announced: bigint | null;
  gaveUp: boolean;
  readonly requests: Message[];
  readonly replies: Reply[];
}

interface StoreSession {
  until: number;
}

export class Violation extends Error {}

export class World {
  now = 0;
  readonly candidates: Candidate[];
  /** `phase --fact--> phase`, counted. */
  readonly visited: Map<string, number>;
  /** How many facts the candidates were told. */
  facts = 0;
  readonly #transition: Transition;
  readonly #countsFrom: CountsFrom;
  readonly #sessions = new Map<string, StoreSession>();
  #holder: { session: string; nonce: string; token: bigint } | null = null;
  #token = 0n;
  #lastElected = 0n;

  constructor(count: number, transition: Transition, countsFrom: CountsFrom, visited: Map<string, number>) {
    this.#transition = transition;
    this.#countsFrom = countsFrom;
    this.visited = visited;
    this.candidates = Array.from({ length: count }, (_, index) => {
      const candidate: Candidate = {
        name: `c${index}`,
        state: initial,
        session: 0,
        lease: new Lease(0, 0, 0),
        nonces: 0,
        working: false,
        announced: null,
        gaveUp: false,
        requests: [],
        replies: [],
      };
      this.#openSession(candidate);
      return candidate;
    });
  }

  /** One byte of the tape: who, and what. */
  play(byte: number): void {
    const candidate = this.candidates[byte % this.candidates.length];
    if (candidate === undefined) return;
    const choice = Math.floor(byte / this.candidates.length) % moves.length;
    moves[choice]?.(this, candidate, byte);
    this.#check();
  }

  advance(ms: number): void {
    this.now += ms;
    this.#check();
  }

  tell(candidate: Candidate, fact: Fact): void {
    const from = candidate.state.phase;
    const { state, effects } = this.#transition(candidate.state, fact, this.now);
    candidate.state = state;
    this.facts += 1;
    const visit = `${from} --${fact.kind}--> ${state.phase}`;
    this.visited.set(visit, (this.visited.get(visit) ?? 0) + 1);
    for (const effect of effects) this.#carryOut(candidate, effect, from);
  }

  /** What the session's keeper does: expiry is noticed, a new session begins. */
  keepSession(candidate: Candidate, reason: "expired" | "dead"): void {
    if (reason === "expired" && this.now < candidate.lease.validUntil) return;
    if (reason === "dead") this.#sessions.delete(this.#name(candidate));
    const { lease } = candidate;
    candidate.requests.length = 0;
    candidate.replies.length = 0;
    const giving = "nonce" in candidate.state ? candidate.state : null;
    candidate.session += 1;
    this.#openSession(candidate);
    this.tell(candidate, { kind: "session-ended", lease, detail: reason });
    if (giving !== null && (giving.phase === "withdrawing" || giving.phase === "releasing")) {
      this.tell(candidate, { kind: "released", nonce: giving.nonce });
    } else if (candidate.state.phase === "campaigning") this.#send(candidate, "claim", candidate.state.nonce);
  }

  prove(candidate: Candidate): void {
    this.#send(candidate, "proof", "");
  }

  /** The oldest request reaches the store; its reply is on its way back, or lost. */
  deliver(candidate: Candidate, replyLost: boolean): void {
    const message = candidate.requests.shift();
    if (message === undefined) return;
    const token = this.#storeHandles(candidate, message);
    if (!replyLost) candidate.replies.push({ message, token });
    // A lost reply is an unknown outcome: it is disposed of, which makes the store forget the nonce, and claimed again.
    else if (message.kind === "claim") {
      this.#storeForgets(candidate, message.nonce);
      if (candidate.state.phase === "campaigning") this.#send(candidate, "claim", message.nonce);
    } else if (message.kind === "release") this.#send(candidate, "release", message.nonce);
    else this.tell(candidate, { kind: "doubt" });
  }

  hear(candidate: Candidate): void {
    const reply = candidate.replies.shift();
    if (reply === undefined || reply.message.session !== candidate.session) return;
    const { kind, nonce, sentAt } = reply.message;
    if (kind === "proof") {
      if (reply.token === null || this.now >= candidate.lease.validUntil) return;
      candidate.lease.extend(this.#countsFrom === "sending" ? sentAt : this.now, ttl, this.now);
      this.tell(candidate, { kind: "certain" });
    } else if (kind === "release") this.tell(candidate, { kind: "released", nonce });
    else if (reply.token !== null) {
      this.tell(candidate, { kind: "granted", nonce, token: reply.token, lease: candidate.lease });
    } else if (candidate.state.phase === "campaigning") this.#send(candidate, "claim", nonce);
  }

  /** A third party deletes the record, and the store says so at once. */
  deleteRecord(): void {
    const holder = this.#holder;
    if (holder === null) return;
    this.#holder = null;
    for (const candidate of this.candidates) {
      if (holder.session === this.#name(candidate)) {
        this.#forgetAnswers(candidate, holder.nonce);
        this.tell(candidate, { kind: "record-lost", nonce: holder.nonce, detail: "deleted" });
      }
    }
  }

  /** As `claims.ts` does: a grant that was under way when its record was lost is disposed of, and claimed again. */
  #forgetAnswers(candidate: Candidate, nonce: string): void {
    const kept = candidate.replies.filter(
      ({ message }) => message.kind !== "claim" || message.nonce !== nonce,
    );
    candidate.replies.splice(0, candidate.replies.length, ...kept);
  }

  #openSession(candidate: Candidate): void {
    this.#sessions.set(this.#name(candidate), { until: this.now + ttl * 0.99 });
    candidate.lease = new Lease(this.now, ttl, 0);
  }

  #storeHandles(candidate: Candidate, message: Message): bigint | null {
    const name = `${candidate.name}.${message.session}`;
    const session = this.#sessions.get(name);
    if (session === undefined || this.now >= session.until) {
      this.#sessions.delete(name);
      return null;
    }
    if (message.kind === "proof") {
      session.until = this.now + ttl * 0.99;
      return 0n;
    }
    if (message.kind === "release") {
      this.#storeForgets(candidate, message.nonce);
      return null;
    }
    const holder = this.#holder;
    if (holder !== null) {
      if (holder.session === name) return holder.nonce === message.nonce ? holder.token : null;
      const other = this.#sessions.get(holder.session);
      if (other !== undefined && this.now < other.until) return null;
      this.#sessions.delete(holder.session);
    }
    this.#token += 1n;
    this.#holder = { session: name, nonce: message.nonce, token: this.#token };
    return this.#token;
  }

  #storeForgets(candidate: Candidate, nonce: string): void {
    if (this.#holder?.nonce === nonce && this.#holder.session.startsWith(`${candidate.name}.`))
      this.#holder = null;
  }

  #carryOut(candidate: Candidate, effect: Effect, from: State["phase"]): void {
    switch (effect.kind) {
      case "claim":
        return this.#send(candidate, "claim", effect.nonce);
      case "release":
        if (candidate.working && from !== "leading" && from !== "draining") return;
        // An expired lease gives nothing back: its session ends, work may still be winding up.
        if (candidate.working && candidate.state.phase === "releasing")
          throw new Violation("released under running work");
        if (this.now < candidate.lease.validUntil) this.#send(candidate, "release", effect.nonce);
        return;
      case "elected":
        if (candidate.gaveUp) throw new Violation("elected after close or abandon");
        if (candidate.announced !== null) throw new Violation("elected twice");
        if (effect.token <= this.#lastElected) throw new Violation("token did not rise");
        this.#lastElected = effect.token;
        candidate.announced = effect.token;
        candidate.working = true;
        return;
      case "lost":
        if (candidate.announced !== effect.token) throw new Violation("lost without elected, or twice");
        candidate.announced = null;
        return;
      case "stop":
      case "drain":
      case "reject":
    }
  }

  #send(candidate: Candidate, kind: Message["kind"], nonce: string): void {
    // The port: one claim of a nonce is under way at a time.
    const claims = [...candidate.requests, ...candidate.replies.map((reply) => reply.message)];
    if (kind === "claim" && claims.some((message) => message.kind === "claim" && message.nonce === nonce))
      return;
    candidate.requests.push({ kind, session: candidate.session, nonce, sentAt: this.now });
  }

  #check(): void {
    const valid = this.candidates.filter((candidate) => isValid(candidate.state, this.now));
    if (valid.length > 1)
      throw new Violation(`${valid.map((candidate) => candidate.name).join(" and ")} are both valid`);
    for (const candidate of valid) {
      if (candidate.announced === null) throw new Violation("valid without an announced term");
    }
  }

  #name(candidate: Candidate): string {
    return `${candidate.name}.${candidate.session}`;
  }
}
