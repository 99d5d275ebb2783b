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

import { bounded, rest } from "./call.ts";
import { ClaimBook, type Claimant, type Entry } from "./claim-book.ts";
import type { Clock } from "./clock.ts";
import { TokenRegressionError } from "./errors.ts";
import { backOff } from "./jitter.ts";
import type { Lease } from "./lease.ts";
import type { Claim, ClaimAnswer, ClaimRequest, Session } from "./port.ts";
import { regression, sawToken } from "./tokens.ts";
import { Waiting } from "./waiting.ts";

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
  readonly #waiting: Waiting;
  readonly #host: ClaimsHost;
  #footing: Footing | null = null;
  #working = false;

  constructor(host: ClaimsHost) {
    this.#host = host;
    this.#waiting = new Waiting(host, this.#book, this);
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
    this.work();
  }

  /** Sees to it that the nonce neither holds nor waits, then says `released`. */
  release(nonce: string): void {
    const entry = this.#book.find(nonce);
    if (entry === undefined || entry.unwanted) return;
    this.#unwant(entry);
    if (this.#footing === null) this.#forget(entry);
    else this.work();
  }

  /** Trying again makes sense: for one election, or for all. */
  hint(election: string | null): void {
    for (const entry of election === null ? this.#book.all() : this.#book.of(election)) {
      if (entry.standing === "waiting") this.#book.move(entry, "due");
      else entry.hinted = true;
    }
    this.work();
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
    this.#waiting.poll = footing.session.poll;
    this.work();
  }

  /** Nothing that the session held or waited for is left; what is still wanted becomes due for the next one. */
  sessionEnded(detail: string): void {
    const lease = this.#footing?.lease;
    const held = new Set(this.#book.granted.values());
    this.#footing = this.#waiting.poll = null;
    this.#working = false;
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

  /** Makes, in one request after the other, what is due. */
  work(): void {
    const { unclear, unwanted, due } = this.#book;
    if (this.#footing === null || this.#working) return;
    if (unclear.size + unwanted.size + due.size === 0) return;
    this.#working = true;
    void this.#workThrough(this.#footing);
  }

  async #workThrough(footing: Footing): Promise<void> {
    const { unclear, unwanted, due } = this.#book;
    const { clock, ttl } = this.#host;
    // What is claimed in one go (a thousand `campaign()` in a loop) goes to the store in one go.
    await Promise.resolve();
    let failures = 0;
    while (this.#footing === footing) {
      // A lease that ran out ends the session and, with it, all it held.
      if (clock.now() >= footing.lease.validUntil) return this.#host.expired();
      let ok: boolean;
      if (unclear.size > 0) ok = await this.#giveBack(footing, "dispose", take(unclear));
      else if (unwanted.size > 0) ok = await this.#giveBack(footing, "release", take(unwanted));
      else if (due.size > 0) ok = await this.#ask(footing, take(due));
      else break;
      failures = ok ? 0 : failures + 1;
      // A little longer each time, never in step with others.
      if (!ok) await rest(clock, backOff(clock, failures, ttl / 6), footing.over.signal);
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
    let failure: { cause: unknown } | undefined;
    const hear = (index: number, answer: ClaimAnswer): void => {
      const entry = entries[index];
      // Heard already; or what an answer set off has ended the session, and this one is of an older one.
      if (this.#footing !== footing || entry?.standing !== "asked") return;
      if (answer.kind === "unknown") failure = answer;
      this.#hear(footing, entry, answer, now);
    };
    let answers: readonly ClaimAnswer[] = [];
    let cause: unknown = new Error("no answer");
    try {
      answers = await this.#call(footing, (call) => footing.session.claim(requests, call, hear));
    } catch (error) {
      cause = error;
    }
    for (const index of entries.keys()) hear(index, answers[index] ?? { kind: "unknown", cause });
    this.#waiting.arm(entries);
    if (failure) this.#host.failed("claim", failure.cause);
    return !failure;
  }

  #hear(footing: Footing, entry: Entry, answer: ClaimAnswer, askedAt: number): void {
    switch (answer.kind) {
      case "granted":
        return entry.shaken
          ? this.#book.move(entry, "unclear")
          : this.#hearGrant(footing, entry, answer.token);
      case "held":
        if (answer.by !== null) sawToken(footing.session.store, entry.election, answer.by.token);
        return this.#waiting.enter(entry, answer, askedAt);
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
      `Election "${election}" on ${this.#host.address}: the store minted token ${token} after ${highest}. It was restored ` +
        `or lost data: raise "generation" of every candidate, or its counter above that.`,
    );
    claimant.tell({ kind: "refused", nonce, error });
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
    if (this.#book.waiting.size === 0) this.#waiting.stop();
    entry.claimant.tell({ kind: "released", nonce: entry.nonce });
  }
}

function take(entries: ReadonlyMap<string, Entry>): Entry[] {
  return [...entries.values()].slice(0, batchSize);
}
