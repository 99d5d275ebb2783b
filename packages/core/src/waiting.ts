/**
 * When a claim that somebody else holds is made again: on a hint, or at the time that the store named, or when a version
 * has been watched for long enough, or else when the net comes round to it.
 */

import type { ClaimBook, Entry } from "./claim-book.ts";
import type { ClaimsHost } from "./claims.ts";
import type { Timer } from "./clock.ts";
import { about } from "./jitter.ts";
import { patienceFor } from "./lease.ts";
import type { ClaimAnswer, Poll } from "./port.ts";

/**
 * The net under the hints makes so many claims in each TTL, by turns: each once a TTL where no more wait. It catches
 * what should not happen, so it need not be denser; and waiting must not cost more with every election (decision 4).
 */
const netPerTtl = 48;

/** Who makes the claims. */
export interface Claiming {
  /** Trying again makes sense: for one election, or for all. */
  hint(election: string | null): void;
  /** Makes what is due. */
  work(): void;
}

export class Waiting {
  /** The present session's: how to learn that claiming makes sense where the store cannot push. */
  poll: Poll | null = null;
  readonly #host: ClaimsHost;
  readonly #book: ClaimBook;
  readonly #claims: Claiming;
  #net: { at: number; timer: Timer } | null = null;
  #look: Timer | null = null;

  constructor(host: ClaimsHost, book: ClaimBook, claims: Claiming) {
    this.#host = host;
    this.#book = book;
    this.#claims = claims;
  }

  /** The store said, to a question of `askedAt`, that the election is held by another. */
  enter(entry: Entry, { retryInMs, patience }: ClaimAnswer & { kind: "held" }, askedAt: number): void {
    const { clock, ttl } = this.#host;
    const now = clock.now();
    const turn = retryInMs === null ? ttl * Math.max(1, this.#book.waiting.size / netPerTtl) : ttl;
    entry.retryAt = now + (retryInMs ?? about(clock, turn));
    if (patience === null) entry.patience = null;
    else {
      const { version, leaseMs } = patience;
      const since = entry.patience?.version === version ? entry.patience.since : now;
      const until = since + patienceFor(leaseMs);
      entry.patience = { version, since, until };
      // As soon as the version may be offered; one that was offered and refused is not worth a hurry.
      if (until > askedAt) entry.retryAt = Math.min(entry.retryAt, Math.max(until, now));
    }
    entry.soonAt = entry.retryAt - turn / 50;
    this.#book.move(entry, entry.hinted ? "due" : "waiting");
  }

  /** Sees to it that these, if they wait, are not forgotten. */
  arm(entries: Iterable<Entry>): void {
    this.#armNet(entries);
    this.#armPoll();
  }

  /** Nobody waits. */
  stop(): void {
    this.#net?.timer.cancel();
    this.#look?.cancel();
    this.#net = this.#look = null;
  }

  /** One timer for all, which wakes all that are nearly due. */
  #armNet(entries: Iterable<Entry>): void {
    const { clock } = this.#host;
    const armed = this.#net?.at ?? Infinity;
    let at = armed;
    for (const entry of entries) if (entry.standing === "waiting") at = Math.min(at, entry.retryAt);
    if (at === armed) return;
    this.#net?.timer.cancel();
    const timer = clock.timer(at - clock.now(), () => {
      this.#net = null;
      const now = clock.now();
      for (const entry of [...this.#book.waiting.values()]) {
        if (entry.soonAt <= now) this.#book.move(entry, "due");
      }
      this.#armNet(this.#book.waiting.values());
      this.#claims.work();
    });
    this.#net = { at, timer };
  }

  /** Stores that cannot push are looked at, as long as somebody waits. */
  #armPoll(): void {
    const { poll } = this;
    if (poll === null || this.#look !== null || this.#book.waiting.size === 0) return;
    this.#look = this.#host.clock.timer(poll.everyMs, () => {
      this.#look = null;
      try {
        const worth = this.poll?.look(this.#book.waiting) ?? [];
        if (worth === "all") this.#claims.hint(null);
        else for (const election of worth) this.#claims.hint(election);
      } catch (error) {
        this.#host.failed("claim", error);
      }
      this.#armPoll();
    });
  }
}
