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
import type { Clock, Timer } from "./clock.ts";
import type { Fact } from "./election-state.ts";
import { TokenRegressionError } from "./errors.ts";
import { about, backOff } from "./jitter.ts";
import { patienceFor, type Lease } from "./lease.ts";
import type { CandidateRecord, Claim, ClaimAnswer, ClaimRequest, Session } from "./port.ts";
import { regression, sawToken } from "./tokens.ts";

/** What a candidate hears of its claim. */
export interface Claimant {
  readonly election: string;
  readonly candidate: CandidateRecord;
  tell(fact: Fact): void;
  trouble(error: unknown): void;
}

type Standing =
  /** To be claimed as soon as possible. */
  | "due"
  /** Asked; the answer is under way. */
  | "asked"
  /** Held by somebody else; asked again at `retryAt` or on a hint. */
  | "waiting"
  | "granted"
  /** The outcome is unknown: to be disposed of before anything else. */
  | "unclear";

interface Entry {
  readonly claim: Claim;
  readonly claimant: Claimant;
  standing: Standing;
  /** To be given back as soon as its standing is known. */
  unwanted: boolean;
  /** A hint came while the answer was under way, and may be newer than it. */
  hinted: boolean;
  /** The store said that the record is gone while the answer that granted it may have been under way. */
  shaken: boolean;
  retryAt: number;
  patience: { version: string; since: number; until: number } | null;
}

/** The session that the claims are made in, as far as they need to know it. */
export interface Footing {
  readonly session: Session;
  readonly lease: Lease;
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
  /** Granted, by nonce: what a proof is asked about. */
  readonly held: Map<string, Claim> = new Map();
  readonly #waiting = new Map<string, Claim>();
  readonly #entries = new Map<string, Entry>();
  readonly #byElection = new Map<string, Set<Entry>>();
  readonly #due = new Set<Entry>();
  readonly #unwanted = new Set<Entry>();
  readonly #unclear = new Set<Entry>();
  readonly #host: ClaimsHost;
  #footing: Footing | null = null;
  #working = false;
  #failures = 0;
  #pause: Timer | null = null;
  #net: { at: number; timer: Timer } | null = null;
  #pollTimer: Timer | null = null;

  constructor(host: ClaimsHost) {
    this.#host = host;
  }

  get size(): number {
    return this.#entries.size;
  }

  claimants(): Iterable<Claimant> {
    return new Set([...this.#entries.values()].map((entry) => entry.claimant));
  }

  /** Makes the claim, or makes it again. */
  claim(nonce: string, claimant: Claimant): void {
    let entry = this.#entries.get(nonce);
    if (entry === undefined) {
      const claim = { election: claimant.election, nonce };
      entry = {
        claim,
        claimant,
        standing: "due",
        unwanted: false,
        hinted: false,
        shaken: false,
        retryAt: 0,
        patience: null,
      };
      this.#entries.set(nonce, entry);
      const same = this.#byElection.get(claim.election);
      if (same === undefined) this.#byElection.set(claim.election, new Set([entry]));
      else same.add(entry);
    }
    if (entry.standing === "asked" || entry.standing === "unclear") return;
    this.#stand(entry, "due");
    this.#work();
  }

  /** Sees to it that the nonce neither holds nor waits, then says `released`. */
  release(nonce: string): void {
    const entry = this.#entries.get(nonce);
    if (entry === undefined || entry.unwanted) return;
    entry.unwanted = true;
    // A lease that ran out ends the session and, with it, all it held.
    if (this.#footing === null || this.#host.clock.now() >= this.#footing.lease.validUntil) {
      if (this.#footing !== null) this.#host.expired();
      else this.#forget(entry);
      return;
    }
    if (entry.standing !== "asked") this.#unwanted.add(entry);
    this.#work();
  }

  /** Trying again makes sense: for one election, or for all. */
  hint(election: string | null): void {
    const entries = election === null ? this.#entries.values() : (this.#byElection.get(election) ?? []);
    for (const entry of entries) {
      if (entry.standing === "waiting") this.#stand(entry, "due");
      else if (entry.standing === "asked") entry.hinted = true;
    }
    this.#work();
  }

  /** The store said that this claim's record, or its place in the queue, is gone. */
  lost(claim: Claim, detail: string): void {
    const entry = this.#entries.get(claim.nonce);
    if (entry?.standing === "asked") entry.shaken = true;
    if (entry === undefined || (entry.standing !== "granted" && entry.standing !== "waiting")) return;
    this.#stand(entry, "waiting");
    entry.claimant.tell({ kind: "record-lost", nonce: claim.nonce, detail });
  }

  sessionOpened(footing: Footing): void {
    this.#footing = footing;
    this.#failures = 0;
    this.#work();
  }

  /** Nothing that the session held or waited for is left; what is still wanted becomes due for the next one. */
  sessionEnded(detail: string): void {
    const ended = this.#footing;
    this.#footing = null;
    this.#pause?.cancel();
    this.#pause = null;
    this.#working = false;
    const before = [...this.#entries.values()].map((entry) => ({
      entry,
      held: entry.standing === "granted",
    }));
    for (const { entry, held } of before) {
      if (!held) this.#stand(entry, "due");
    }
    for (const { entry, held } of before) {
      if (held && ended !== null) {
        entry.claimant.tell({ kind: "session-ended", lease: ended.lease, detail });
      }
      if (held || entry.unwanted) this.#forget(entry);
    }
  }

  /** No session is to be had until somebody changes something. */
  refuseAll(error: Error): void {
    for (const entry of [...this.#entries.values()]) {
      this.#refuse(entry, error);
      this.#forget(entry);
    }
  }

  #work(): void {
    if (this.#footing === null || this.#working || this.#pause !== null) return;
    if (this.#unclear.size + this.#unwanted.size + this.#due.size === 0) return;
    this.#working = true;
    void this.#workThrough(this.#footing);
  }

  async #workThrough(footing: Footing): Promise<void> {
    // What is claimed in one go (a thousand `campaign()` in a loop) goes to the store in one go.
    await Promise.resolve();
    while (this.#footing === footing) {
      if (this.#host.clock.now() >= footing.lease.validUntil) return this.#host.expired();
      let ok: boolean;
      if (this.#unclear.size > 0) ok = await this.#giveBack(footing, "dispose", take(this.#unclear));
      else if (this.#unwanted.size > 0) ok = await this.#giveBack(footing, "release", take(this.#unwanted));
      else if (this.#due.size > 0) ok = await this.#ask(footing, take(this.#due));
      else break;
      if (this.#footing !== footing) return;
      this.#failures = ok ? 0 : this.#failures + 1;
      if (!ok) {
        this.#working = false;
        return this.#rest();
      }
    }
    if (this.#footing === footing) this.#working = false;
  }

  async #giveBack(footing: Footing, how: "release" | "dispose", entries: Entry[]): Promise<boolean> {
    const claims = entries.map((entry) => entry.claim);
    try {
      await this.#call(footing, (call) => footing.session[how](claims, call));
    } catch (error) {
      if (this.#footing === footing) this.#host.failed(how, error);
      return false;
    }
    if (this.#footing !== footing) return true;
    for (const entry of entries) {
      if (entry.unwanted) this.#forget(entry);
      else this.#stand(entry, "due");
    }
    return true;
  }

  async #ask(footing: Footing, entries: Entry[]): Promise<boolean> {
    const now = this.#host.clock.now();
    const requests = entries.map((entry): ClaimRequest => {
      const { patience, claimant } = entry;
      const unchanged = patience !== null && now >= patience.until ? patience.version : null;
      return { ...entry.claim, candidate: claimant.candidate, unchanged };
    });
    for (const entry of entries) this.#stand(entry, "asked");
    let answers: readonly ClaimAnswer[];
    try {
      answers = await this.#call(footing, (call) => footing.session.claim(requests, call));
    } catch (cause) {
      if (this.#footing !== footing) return true;
      answers = entries.map(() => ({ kind: "unknown", cause }));
    }
    if (this.#footing !== footing) return true;
    let failure: { cause: unknown } | null = null;
    for (const [index, entry] of entries.entries()) {
      const answer = answers[index] ?? { kind: "unknown", cause: new Error("the adapter gave no answer") };
      if (answer.kind === "unknown") failure = answer;
      this.#hear(footing, entry, answer);
      if (this.#footing !== footing) return true;
    }
    this.#armNet(entries);
    this.#armPoll();
    if (failure !== null) this.#host.failed("claim", failure.cause);
    return failure === null;
  }

  #hear(footing: Footing, entry: Entry, answer: ClaimAnswer): void {
    switch (answer.kind) {
      case "granted":
        return entry.shaken ? this.#stand(entry, "unclear") : this.#hearGrant(footing, entry, answer.token);
      case "held":
        return this.#hearHeld(footing, entry, answer);
      case "refused":
        this.#refuse(entry, answer.error);
        return this.#forget(entry);
      case "unknown":
        this.#stand(entry, "unclear");
    }
  }

  #hearGrant(footing: Footing, entry: Entry, token: bigint): void {
    const { election, nonce } = entry.claim;
    this.#stand(entry, "granted");
    if (entry.unwanted) return void this.#unwanted.add(entry);
    const highest = regression(footing.session.store, election, token);
    if (highest !== null) {
      entry.unwanted = true;
      this.#unwanted.add(entry);
      const error = new TokenRegressionError(
        token,
        highest,
        `Election "${election}" on ${this.#host.address}: the store minted token ${token} after ${highest}. It lost data, or was ` +
          `restored from a backup. Raise the "generation" option of every candidate, or let its counter pass ${highest}.`,
      );
      return entry.claimant.tell({ kind: "refused", nonce, error });
    }
    entry.claimant.tell({ kind: "granted", nonce, token, lease: footing.lease });
  }

  #hearHeld(footing: Footing, entry: Entry, answer: ClaimAnswer & { kind: "held" }): void {
    const now = this.#host.clock.now();
    if (answer.by !== null) sawToken(footing.session.store, entry.claim.election, answer.by.token);
    entry.retryAt = now + (answer.retryInMs ?? about(this.#host.clock, this.#host.ttl));
    if (answer.patience === null) entry.patience = null;
    else {
      const { version, leaseMs } = answer.patience;
      const since = entry.patience?.version === version ? entry.patience.since : now;
      entry.patience = { version, since, until: since + patienceFor(leaseMs) };
      entry.retryAt = Math.min(entry.retryAt, Math.max(entry.patience.until, now));
    }
    this.#stand(entry, entry.hinted ? "due" : "waiting");
    if (entry.unwanted) this.#unwanted.add(entry);
  }

  /** The net under the hints: one timer for all that wait, which wakes all that are nearly due. */
  #armNet(entries: Iterable<Entry>): void {
    let at = this.#net?.at ?? Infinity;
    for (const entry of entries) if (entry.standing === "waiting") at = Math.min(at, entry.retryAt);
    if (at === (this.#net?.at ?? Infinity)) return;
    this.#net?.timer.cancel();
    const timer = this.#host.clock.timer(at - this.#host.clock.now(), () => {
      this.#net = null;
      const soon = this.#host.clock.now() + this.#host.ttl / 50;
      for (const entry of this.#entries.values()) {
        if (entry.standing === "waiting" && entry.retryAt <= soon) this.#stand(entry, "due");
      }
      this.#armNet(this.#entries.values());
      this.#work();
    });
    this.#net = { at, timer };
  }

  /** Stores that cannot push are looked at, as long as somebody waits. */
  #armPoll(): void {
    const poll = this.#footing?.session.poll ?? null;
    if (poll === null || this.#pollTimer !== null || this.#waiting.size === 0) return;
    this.#pollTimer = this.#host.clock.timer(poll.everyMs, () => {
      this.#pollTimer = null;
      if (this.#footing?.session.poll !== poll) return this.#armPoll();
      try {
        const worth = poll.look(this.#waiting);
        if (worth === "all") this.hint(null);
        else for (const election of worth) this.hint(election);
      } catch (error) {
        this.#host.failed("claim", error);
      }
      this.#armPoll();
    });
  }

  /** After a failure: a little longer each time, never in step with others. */
  #rest(): void {
    const { clock, ttl } = this.#host;
    this.#pause = clock.timer(backOff(clock, this.#failures, ttl / 6), () => {
      this.#pause = null;
      this.#work();
    });
  }

  #call<T>(footing: Footing, work: Parameters<typeof bounded<T>>[2]): Promise<T> {
    const { clock, ttl } = this.#host;
    return bounded(clock, Math.min(ttl / 3, footing.lease.validUntil - clock.now()), work);
  }

  #refuse(entry: Entry, error: Error): void {
    if (!entry.unwanted) entry.claimant.tell({ kind: "refused", nonce: entry.claim.nonce, error });
  }

  #stand(entry: Entry, standing: Standing): void {
    this.#unlist(entry);
    const { claim } = entry;
    entry.standing = standing;
    if (standing === "granted") this.held.set(claim.nonce, claim);
    else if (standing === "waiting") this.#waiting.set(claim.nonce, claim);
    else if (standing === "unclear") this.#unclear.add(entry);
    else if (standing === "asked") entry.hinted = entry.shaken = false;
    else if (entry.unwanted) this.#unwanted.add(entry);
    else this.#due.add(entry);
  }

  #unlist(entry: Entry): void {
    this.held.delete(entry.claim.nonce);
    this.#waiting.delete(entry.claim.nonce);
    this.#unclear.delete(entry);
    this.#due.delete(entry);
  }

  #forget(entry: Entry): void {
    const { nonce, election } = entry.claim;
    if (!this.#entries.delete(nonce)) return;
    this.#unlist(entry);
    this.#unwanted.delete(entry);
    const same = this.#byElection.get(election);
    same?.delete(entry);
    if (same?.size === 0) this.#byElection.delete(election);
    if (this.#waiting.size === 0) {
      this.#net?.timer.cancel();
      this.#net = null;
      this.#pollTimer?.cancel();
      this.#pollTimer = null;
    }
    entry.claimant.tell({ kind: "released", nonce });
  }
}

function take(entries: Set<Entry>): Entry[] {
  const taken: Entry[] = [];
  for (const entry of entries) {
    if (taken.push(entry) === batchSize) break;
  }
  return taken;
}
