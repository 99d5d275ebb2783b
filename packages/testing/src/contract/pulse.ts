/**
 * Whether the store itself stands still: for how long it has not answered somebody whom nobody disturbs, who writes to it again and
 * again. Meanwhile leaders lose their terms as they must, which shows nothing of the backend.
 */

import { setTimeout as sleep } from "node:timers/promises";

const everyMs = 50;

export class Pulse {
  readonly #touch: () => Promise<unknown>;
  readonly #waits: { readonly asked: number; readonly answered: number }[] = [];
  /** When the question that is not answered yet was asked. */
  #asked: number | null = null;
  #stopped = false;

  constructor(touch: () => Promise<unknown>) {
    this.#touch = touch;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      const asked = performance.now();
      this.#asked = asked;
      // A refusal is an answer.
      await this.#touch().catch(() => {});
      this.#asked = null;
      const answered = performance.now();
      if (answered - asked > everyMs) this.#waits.push({ asked, answered });
      await sleep(everyMs, undefined, { ref: false });
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** For how many ms at worst it did not answer, from this instant of `performance.now()` on. */
  longestSince(instant: number): number {
    const open = { asked: this.#asked ?? Infinity, answered: performance.now() };
    const waits = [...this.#waits, open].map(({ asked, answered }) => answered - Math.max(asked, instant));
    return Math.round(Math.max(0, ...waits));
  }
}
