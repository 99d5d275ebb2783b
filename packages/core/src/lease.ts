/**
 * How long a session, and with it every term it holds, may be believed: the arithmetic of promise 2.
 *
 * *valid until = send time of the last proof that counts + granted TTL, less 1 % for clocks that run at different
 * rates, less a margin.* The store started its own countdown when it received the proof, which was after we sent
 * it; so counting from the send time can only err on the safe side. Counting from the reply would not.
 */

/** How much faster or slower than the store's our clock may run. Quartz is a hundred times better. */
const drift = 0.01;

/** What is kept back for the time between a check and the effect it allows: 5 % of the TTL, 100 ms at least. */
function margin(ttlMs: number): number {
  return Math.max(100, ttlMs * 0.05);
}

/** How long a challenger must watch a version stay the same before it may take over, by its own clock. */
export function patienceFor(leaseMs: number): number {
  return leaseMs * (1 + drift);
}

/** What a term needs of a lease: one number, read at every check. */
export interface Validity {
  /** The instant of {@link Clock.now} from which on nothing holds, whatever anyone says. */
  readonly validUntil: number;
}

/** The lease of one session. It grows only by proofs that the store acknowledged; it shrinks if one grants less. */
export class Lease implements Validity {
  validUntil: number;
  readonly #lagMs: number;
  #base: number;
  /** Acknowledged proofs that a later one may still vouch for; empty unless there is a lag. */
  #unvouched: { readonly sentAt: number; readonly heardAt: number }[] = [];

  /** `sentAt` is the instant just before the session was asked for. */
  constructor(sentAt: number, ttlMs: number, proofLagMs: number) {
    this.#base = sentAt;
    this.#lagMs = proofLagMs;
    this.validUntil = until(sentAt, ttlMs);
  }

  /** A proof sent at `sentAt` was acknowledged. A late acknowledgement never counts beyond its own send time. */
  extend(sentAt: number, ttlMs: number, heardAt: number): void {
    if (this.#lagMs === 0) this.#base = Math.max(this.#base, sentAt);
    else {
      // It counts from its sending, but the lag began when it arrived: all that is known of that is that it was heard of.
      const vouched = this.#unvouched.filter((earlier) => earlier.heardAt <= sentAt - this.#lagMs);
      this.#base = vouched.at(-1)?.sentAt ?? this.#base;
      this.#unvouched = [...this.#unvouched.slice(vouched.length), { sentAt, heardAt }];
    }
    this.validUntil = until(this.#base, ttlMs);
  }
}

function until(base: number, ttlMs: number): number {
  return base + ttlMs * (1 - drift) - margin(ttlMs);
}
