/** Time that stands still until you move it: for tests of what happens minutes after, in milliseconds. */

import type { Clock, Timer } from "@elect/core/adapter";
import { Seeded } from "./seeded.ts";

interface Armed {
  readonly due: number;
  readonly order: number;
  readonly fire: () => void;
}

/**
 * ```ts
 * const clock = new FakeClock();
 * const backend = createBackend(adapter, { clock });
 * await clock.advance(10_000); // timers fire in order, and what they set off runs before the next one fires
 * ```
 */
export class FakeClock implements Clock {
  #now = 0;
  readonly #random: Seeded;
  #nonces = 0;
  #order = 0;
  readonly #timers = new Set<Armed>();

  /** The same seed gives the same `random()` and `nonce()`. */
  constructor(seed = 1) {
    this.#random = new Seeded(seed);
  }

  now(): number {
    return this.#now;
  }

  timer(ms: number, fire: () => void): Timer {
    const timer = { due: this.#now + Math.max(0, ms), order: this.#order++, fire };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer), unref: () => {} };
  }

  random(): number {
    return this.#random.next();
  }

  /** Unique for each call of this clock, and the same in each run. */
  nonce(): string {
    const number = (this.#nonces++).toString(16).padStart(8, "0");
    const random = Array.from({ length: 3 }, () =>
      Math.floor(this.random() * 2 ** 32)
        .toString(16)
        .padStart(8, "0"),
    );
    return number + random.join("");
  }

  /** How many timers are set: 0 when nothing is left running. */
  get timers(): number {
    return this.#timers.size;
  }

  /**
   * Moves time on by `ms`. Timers that come due fire one by one, each at its own time, the earlier set first where
   * they are equal; everything that a timer set off (promises, `setImmediate`) runs before time goes on.
   */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (let next = this.#due(end); next !== null; next = this.#due(end)) {
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.due);
      next.fire();
      await settle();
    }
    this.#now = end;
    await settle();
  }

  /**
   * Moves time on by `ms` and runs nothing: a stalled event loop, a stopped process, a suspended machine. Timers that
   * came due meanwhile fire at the next {@link advance}, late.
   */
  freeze(ms: number): void {
    this.#now += ms;
  }

  /** The first timer that comes due until `end`. */
  #due(end: number): Armed | null {
    let first: Armed | null = null;
    for (const timer of this.#timers) {
      if (timer.due > end) continue;
      const earlier =
        first === null || timer.due < first.due || (timer.due === first.due && timer.order < first.order);
      if (earlier) first = timer;
    }
    return first;
  }
}

/** Lets promise chains of any length run out. */
async function settle(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
