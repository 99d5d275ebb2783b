/** Where each claim of a session stands. */

import type { Fact } from "./election-state.ts";
import type { CandidateRecord, Claim } from "./port.ts";

/** What a candidate hears of its claim. */
export interface Claimant {
  readonly election: string;
  readonly candidate: CandidateRecord;
  /** Until when the store may hold something for it that an ended session did not give back. */
  leftUntil: number;
  tell(fact: Fact): void;
  trouble(error: unknown): void;
}

export type Standing =
  /** To be claimed as soon as possible. */
  | "due"
  /** Asked; the answer is under way. */
  | "asked"
  /** Held by somebody else; asked again at `retryAt` or on a hint. */
  | "waiting"
  | "granted"
  /** The outcome is unknown: to be disposed of before anything else. */
  | "unclear";

export interface Entry extends Claim {
  readonly claimant: Claimant;
  standing: Standing;
  /** To be given back as soon as its standing is known. */
  unwanted: boolean;
  /** A hint came while the answer was under way, and may be newer than it. */
  hinted: boolean;
  /** The store said that the record is gone while the answer that granted it may have been under way. */
  shaken: boolean;
  /** While it waits: when it is made again… */
  retryAt: number;
  /** …and from when on it goes along with others. */
  soonAt: number;
  /** What `Patience` is being timed, by our own clock. */
  patience: { version: string; since: number; until: number } | null;
}

type Entries = Map<string, Entry>;

export class ClaimBook {
  readonly due: Entries = new Map();
  readonly asked: Entries = new Map();
  readonly waiting: Entries = new Map();
  readonly granted: Entries = new Map();
  readonly unclear: Entries = new Map();
  /** To be given back; each stands in one of the others, too. */
  readonly unwanted: Entries = new Map();
  readonly #all: Entries = new Map();
  readonly #byElection = new Map<string, Set<Entry>>();

  get size(): number {
    return this.#all.size;
  }

  /** As they are now: standings may change while one goes through them. */
  all(): Entry[] {
    return [...this.#all.values()];
  }

  find(nonce: string): Entry | undefined {
    return this.#all.get(nonce);
  }

  of(election: string): Iterable<Entry> {
    return this.#byElection.get(election) ?? [];
  }

  enter(nonce: string, claimant: Claimant): Entry {
    const { election } = claimant;
    const entry: Entry = {
      election,
      nonce,
      claimant,
      standing: "due",
      unwanted: false,
      hinted: false,
      shaken: false,
      retryAt: 0,
      soonAt: 0,
      patience: null,
    };
    this.#all.set(nonce, entry);
    this.#byElection.set(election, (this.#byElection.get(election) ?? new Set()).add(entry));
    this.due.set(nonce, entry);
    return entry;
  }

  move(entry: Entry, standing: Standing): void {
    this[entry.standing].delete(entry.nonce);
    this[standing].set(entry.nonce, entry);
    entry.standing = standing;
    if (standing === "asked") entry.hinted = entry.shaken = false;
  }

  /** False if it was gone already. */
  strike(entry: Entry): boolean {
    const { nonce, election, standing } = entry;
    this[standing].delete(nonce);
    this.unwanted.delete(nonce);
    const same = this.#byElection.get(election);
    same?.delete(entry);
    if (same?.size === 0) this.#byElection.delete(election);
    return this.#all.delete(nonce);
  }
}
