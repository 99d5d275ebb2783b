/**
 * What a session knows of its claims: at which revision each took its place in the queue, which lead, and what each
 * watches. Whoever waits watches the key of the one before it, so that a hand-over wakes one; whoever leads watches
 * its own, so that somebody else's hand on it is noticed (S5).
 */

import type { Claim, SessionEvents } from "@elect/core/adapter";
import type { KeyValue } from "./client.ts";
import type { Keys } from "./keys.ts";
import type { Watches } from "./watch.ts";

/** So many leader keys are looked at in the step of a proof, in turn: the net under the watches of many (decisions/0002). */
const looksPerProof = 32;

export interface Place {
  readonly claim: Claim;
  /** The revision at which it was taken. */
  readonly joined: bigint;
  /** Set while it leads. */
  readonly token: bigint | null;
  /** What it waits for; `null` while it leads, and once its watch has gone off. */
  ahead: Buffer | null;
  readonly unwatch: () => void;
}

export class Places {
  readonly #keys: Keys;
  readonly #events: SessionEvents;
  readonly #watches: Watches;
  readonly #places = new Map<string, Place>();
  /** Those whose watch has a gap: looked at first. */
  readonly #doubtful = new Set<string>();
  #looked = 0;

  constructor(keys: Keys, events: SessionEvents, watches: Watches) {
    this.#keys = keys;
    this.#events = events;
    this.#watches = watches;
  }

  get(nonce: string): Place | undefined {
    return this.#places.get(nonce);
  }

  /** The claim leads since revision `token`. */
  leads(claim: Claim, joined: bigint, token: bigint): void {
    this.forget(claim.nonce);
    const unwatch = this.#watches.add({
      key: this.#keys.leader(claim.election),
      from: token + 1n,
      deletesOnly: false,
      heard: (happening) => {
        if (happening === "gap") return void this.#doubtful.add(claim.nonce);
        unwatch();
        this.#events.lost(claim, `its key in etcd was ${happening === "put" ? "overwritten" : "deleted"}`);
      },
    });
    this.#places.set(claim.nonce, { claim, joined, token, ahead: null, unwatch });
  }

  /**
   * The claim waits for the key `ahead`, which was there at `revision`, to go. Asking again costs no message for the
   * watch while that is the same key: a thousand that wait are asked about in twenty transactions, and nothing else.
   */
  waits(claim: Claim, joined: bigint, ahead: Buffer, revision: bigint): void {
    const known = this.#places.get(claim.nonce);
    if (known?.joined === joined && known.ahead?.equals(ahead) === true) return;
    this.forget(claim.nonce);
    const unwatch = this.#watches.add({
      key: ahead,
      from: revision + 1n,
      deletesOnly: true,
      heard: () => {
        place.ahead = null;
        unwatch();
        this.#events.hint(claim.election);
      },
    });
    const place: Place = { claim, joined, token: null, ahead, unwatch };
    this.#places.set(claim.nonce, place);
  }

  forget(nonce: string): void {
    this.#places.get(nonce)?.unwatch();
    this.#places.delete(nonce);
    this.#doubtful.delete(nonce);
  }

  /** The leading ones of `held` that the next proof looks at: the doubtful, then the others in turn. */
  inTurn(held: ReadonlyMap<string, Claim>): Place[] {
    const leading = [...this.#places.values()].filter(
      ({ claim, token }) => token !== null && held.has(claim.nonce),
    );
    if (leading.length <= looksPerProof) return leading;
    const doubtful = leading.filter(({ claim }) => this.#doubtful.has(claim.nonce));
    const from = this.#looked % leading.length;
    this.#looked += looksPerProof;
    const turn = new Set([...doubtful, ...leading.slice(from), ...leading.slice(0, from)]);
    return [...turn].slice(0, looksPerProof);
  }

  /**
   * Judges a place by its leader key, as the proof found it. One that was given back or claimed anew meanwhile is not
   * judged by it.
   */
  holds(place: Place, lease: string, key: KeyValue | undefined): boolean {
    const { nonce } = place.claim;
    if (this.#places.get(nonce) !== place) return true;
    this.#doubtful.delete(nonce);
    return key?.lease === lease && BigInt(key.mod_revision) === place.token;
  }
}
