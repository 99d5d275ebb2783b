/**
 * The claims of one process on one session: which are to be made, which wait, which hold, which are to be given
 * back. They outlive the session: when it ends, those that still want to lead are claimed again in the next one.
 *
 * One request to the store is under way at a time, and it carries everything that is due (a thousand elections
 * are claimed in one round trip). What comes first:
 *
 *   dispose of unknown outcomes  →  give back  →  claim
 *
 * so that no claim is made while an older copy of it could still be granted, and nobody waits for a record
 * that we are about to free.
 */

import { bounded } from "./call.ts";
import { ClaimBook, type Claimant, type Entry } from "./claim-book.ts";
import type { Clock, Timer } from "./clock.ts";
import { TokenRegressionError } from "./errors.ts";
import { about, backOff } from "./jitter.ts";
import { patienceFor, type Lease } from "./lease.ts";
import type { Claim, ClaimAnswer, ClaimRequest, Session } from "./port.ts";
import { regression, sawToken } from "./tokens.ts";

/** The session that the claims are made in, as far as they need to know it. */
export interface Footing {
  readonly session: Session;
  readonly lease: Lease;
  /** Aborts when nothing more is to be heard of the session. */
  readonly over: { readonly signal: AbortSignal };
}

export interface ClaimsHost {
  readonly clock: Clock;
  readonly ttl: number;
  readonly address: string;
  /** A request failed: the link may be gone. */
  failed(during: "claim" | "release" | "dispose", error: unknown): void;
  /** The lease ran out and nobody had noticed. */
  expired(): void;
}

/** So many claims at most in one request, so that one answer never takes long. */
const batchSize = 1_000;

export class Claims {
  readonly #book = new ClaimBook();
  readonly #host: ClaimsHost;
  #footing: Footing | null = null;
  #working = false;
  #failures = 0;
  #rest: Timer | null = null;
  #net: { at: number; timer: Timer } | null = null;
  #poll: Timer | null = null;

  constructor(host: ClaimsHost) {
    this.#host = host;
  }

  get size(): number {
    return this.#book.size;
  }

  /** Granted, by nonce: what a proof is asked about. */
  get held(): ReadonlyMap<string, Claim> {
    return this.#book.granted;
  }

  claimants(): Iterable<Claimant> {
    return new Set(this.#book.all().map((entry) => entry.claimant));
  }

  /** Those for whom the store may hold something: a record, a place in the queue, or nobody knows what. */
  exposed(): Claimant[] {
    return this.#book.all().flatMap((entry) => (entry.standing === "due" ? [] : entry.claimant));
  }

  /** Makes the claim, or makes it again. */
  claim(nonce: string, claimant: Claimant): void {
    const entry = this.#book.find(nonce) ?? this.#book.enter(nonce, claimant);
    if (entry.standing === "asked" || entry.standing === "unclear") return;
    this.#book.move(entry, "due");
    this.#work();
  }

  /** Sees to it that the nonce neither holds nor waits, then says `released`. */
  release(nonce: string): void {
    const entry = this.#book.find(nonce);
    if (entry === undefined || entry.unwanted) return;
    this.#unwant(entry);
    if (this.#footing === null) this.#forget(entry);
    // A lease that ran out ends the session and, with it, all it held.
    else if (this.#host.clock.now() >= this.#footing.lease.validUntil) this.#host.expired();
    else this.#work();
  }

  /** Trying again makes sense: for one election, or for all. */
  hint(election: string | null): void {
    for (const entry of election === null ? this.#book.all() : this.#book.of(election)) {
      if (entry.standing === "waiting") this.#book.move(entry, "due");
      else entry.hinted = true;
    }
    this.#work();
  }

  /** The store said that this claim's record, or its place in the queue, is gone. */
  lost({ nonce }: Claim, detail: string): void {
    const entry = this.#book.find(nonce);
    if (entry === undefined) return;
    entry.shaken = true;
    if (entry.standing !== "granted" && entry.standing !== "waiting") return;
    this.#book.move(entry, "waiting");
    entry.claimant.tell({ kind: "record-lost", nonce, detail });
  }

  sessionOpened(footing: Footing): void {
    this.#footing = footing;
    this.#failures = 0;
    this.#work();
  }

  /** Nothing that the session held or waited for is left; what is still wanted becomes due for the next one. */
  sessionEnded(detail: string): void {
    const lease = this.#footing?.lease;
    const held = new Set(this.#book.granted.values());
    this.#footing = null;
    this.#working = false;
    this.#rest?.cancel();
    this.#rest = null;
    for (const entry of this.#book.all()) {
      if (held.has(entry) && lease !== undefined)
        entry.claimant.tell({ kind: "session-ended", lease, detail });
      if (held.has(entry) || entry.unwanted) this.#forget(entry);
      else this.#book.move(entry, "due");
    }
  }

  /** No session is to be had until somebody changes something. */
  refuseAll(error: Error): void {
    for (const entry of this.#book.all()) this.#refuse(entry, error);
  }

  #work(): void {
    const { unclear, unwanted, due } = this.#book;
    if (this.#footing === null || this.#working || this.#rest !== null) return;
    if (unclear.size + unwanted.size + due.size === 0) return;
    this.#working = true;
    void this.#workThrough(this.#footing);
  }

  async #workThrough(footing: Footing): Promise<void> {
    const { unclear, unwanted, due } = this.#book;
    // What is claimed in one go (a thousand `campaign()` in a loop) goes to the store in one go.
    await Promise.resolve();
    while (this.#footing === footing) {
      if (this.#host.clock.now() >= footing.lease.validUntil) return this.#host.expired();
      let ok: boolean;
      if (unclear.size > 0) ok = await this.#giveBack(footing, "dispose", take(unclear));
      else if (unwanted.size > 0) ok = await this.#giveBack(footing, "release", take(unwanted));
      else if (due.size > 0) ok = await this.#ask(footing, take(due));
      else break;
      if (this.#footing !== footing) return;
      this.#failures = ok ? 0 : this.#failures + 1;
      if (!ok) {
        this.#working = false;
        return this.#pause();
      }
    }
    if (this.#footing === footing) this.#working = false;
  }

  async #giveBack(footing: Footing, how: "release" | "dispose", entries: Entry[]): Promise<boolean> {
    const claims = entries.map(({ election, nonce }): Claim => ({ election, nonce }));
    try {
      await this.#call(footing, (call) => footing.session[how](claims, call));
    } catch (error) {
      if (this.#footing === footing) this.#host.failed(how, error);
      return false;
    }
    if (this.#footing !== footing) return true;
    for (const entry of entries) {
      if (entry.unwanted) this.#forget(entry);
      else this.#book.move(entry, "due");
    }
    return true;
  }

  async #ask(footing: Footing, entries: Entry[]): Promise<boolean> {
    const now = this.#host.clock.now();
    const requests = entries.map(({ election, nonce, claimant, patience }): ClaimRequest => {
      const unchanged = patience !== null && now >= patience.until ? patience.version : null;
      return { election, nonce, candidate: claimant.candidate, unchanged };
    });
    for (const entry of entries) this.#book.move(entry, "asked");
    let answers: readonly ClaimAnswer[];
    try {
      answers = await this.#call(footing, (call) => footing.session.claim(requests, call));
    } catch (cause) {
      answers = entries.map(() => ({ kind: "unknown", cause }));
    }
    let failure: { cause: unknown } | null = null;
    for (const [index, entry] of entries.entries()) {
      // What an answer sets off may end the session; the other answers are then of an older one.
      if (this.#footing !== footing) return true;
      const answer = answers[index] ?? { kind: "unknown", cause: new Error("no answer") };
      if (answer.kind === "unknown") failure = answer;
      this.#hear(footing, entry, answer, now);
    }
    this.#armNet(entries);
    this.#armPoll();
    if (failure !== null) this.#host.failed("claim", failure.cause);
    return failure === null;
  }

  #hear(footing: Footing, entry: Entry, answer: ClaimAnswer, askedAt: number): void {
    switch (answer.kind) {
      case "granted":
        return entry.shaken
          ? this.#book.move(entry, "unclear")
          : this.#hearGrant(footing, entry, answer.token);
      case "held":
        return this.#hearHeld(footing, entry, answer, askedAt);
      case "refused":
        return this.#refuse(entry, answer.error);
      case "unknown":
        this.#book.move(entry, "unclear");
    }
  }

  #hearGrant({ session, lease }: Footing, entry: Entry, token: bigint): void {
    const { election, nonce, claimant } = entry;
    this.#book.move(entry, "granted");
    if (entry.unwanted) return;
    const highest = regression(session.store, election, token);
    if (highest === null) return claimant.tell({ kind: "granted", nonce, token, lease });
    this.#unwant(entry);
    const error = new TokenRegressionError(
      `Election "${election}" on ${this.#host.address}: the store minted token ${token} after ${highest}. It lost data, ` +
        `or was restored. Raise the "generation" option of every candidate, or its counter above ${highest}.`,
    );
    claimant.tell({ kind: "refused", nonce, error });
  }

  #hearHeld(
    { session }: Footing,
    entry: Entry,
    { by, retryInMs, patience }: ClaimAnswer & { kind: "held" },
    askedAt: number,
  ): void {
    const { clock, ttl } = this.#host;
    const now = clock.now();
    if (by !== null) sawToken(session.store, entry.election, by.token);
    entry.retryAt = now + (retryInMs ?? about(clock, ttl));
    if (patience === null) entry.patience = null;
    else {
      const { version, leaseMs } = patience;
      const since = entry.patience?.version === version ? entry.patience.since : now;
      const until = since + patienceFor(leaseMs);
      entry.patience = { version, since, until };
      // As soon as the version may be offered; one that was offered and refused is not worth a hurry.
      if (until > askedAt) entry.retryAt = Math.min(entry.retryAt, Math.max(until, now));
    }
    this.#book.move(entry, entry.hinted ? "due" : "waiting");
  }

  /** The net under the hints: one timer for all that wait, which wakes all that are nearly due. */
  #armNet(entries: Iterable<Entry>): void {
    const { clock, ttl } = this.#host;
    const armed = this.#net?.at ?? Infinity;
    let at = armed;
    for (const entry of entries) if (entry.standing === "waiting") at = Math.min(at, entry.retryAt);
    if (at === armed) return;
    this.#net?.timer.cancel();
    const timer = clock.timer(at - clock.now(), () => {
      this.#net = null;
      const soon = clock.now() + ttl / 50;
      for (const entry of [...this.#book.waiting.values()]) {
        if (entry.retryAt <= soon) this.#book.move(entry, "due");
      }
      this.#armNet(this.#book.waiting.values());
      this.#work();
    });
    this.#net = { at, timer };
  }

  /** Stores that cannot push are looked at, as long as somebody waits. */
  #armPoll(): void {
    const poll = this.#footing?.session.poll ?? null;
    if (poll === null || this.#poll !== null || this.#book.waiting.size === 0) return;
    this.#poll = this.#host.clock.timer(poll.everyMs, () => {
      this.#poll = null;
      try {
        const worth = this.#footing?.session.poll === poll ? poll.look(this.#book.waiting) : [];
        if (worth === "all") this.hint(null);
        else for (const election of worth) this.hint(election);
      } catch (error) {
        this.#host.failed("claim", error);
      }
      this.#armPoll();
    });
  }

  /** After a failure: a little longer each time, never in step with others. */
  #pause(): void {
    const { clock, ttl } = this.#host;
    this.#rest = clock.timer(backOff(clock, this.#failures, ttl / 6), () => {
      this.#rest = null;
      this.#work();
    });
  }

  #call<T>(footing: Footing, work: Parameters<typeof bounded<T>>[2]): Promise<T> {
    const { clock, ttl } = this.#host;
    const limit = Math.min(ttl / 3, footing.lease.validUntil - clock.now());
    return bounded(clock, limit, work, { signal: footing.over.signal });
  }

  #unwant(entry: Entry): void {
    entry.unwanted = true;
    this.#book.unwanted.set(entry.nonce, entry);
  }

  #refuse(entry: Entry, error: Error): void {
    if (!entry.unwanted) entry.claimant.tell({ kind: "refused", nonce: entry.nonce, error });
    this.#forget(entry);
  }

  #forget(entry: Entry): void {
    if (!this.#book.strike(entry)) return;
    if (this.#book.waiting.size === 0) {
      this.#net?.timer.cancel();
      this.#poll?.cancel();
      this.#net = this.#poll = null;
    }
    entry.claimant.tell({ kind: "released", nonce: entry.nonce });
  }
}

function take(entries: ReadonlyMap<string, Entry>): Entry[] {
  return [...entries.values()].slice(0, batchSize);
}
