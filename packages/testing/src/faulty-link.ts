/** Between a backend and its store in memory: what a network would do to each call. */

import type { Call, Clock } from "@elect/core/adapter";

/** The calls of the port. */
export type Operation =
  | "open"
  | "prove"
  | "claim"
  | "release"
  | "dispose"
  | "end"
  | "read"
  | "candidates"
  | "watch";

export class FaultyLink {
  readonly #clock: Clock;
  readonly #delays = new Map<Operation, number>();
  readonly #lost = new Set<Operation>();
  readonly #held = new Map<Operation, Promise<void>>();
  readonly #listeners = new Set<(up: boolean) => void>();
  #state: "up" | "disconnected" | "silent" = "up";

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get up(): boolean {
    return this.#state === "up";
  }

  /** Calls `changed` when the link goes down with a bang (`false`) and when it comes back (`true`). */
  on(changed: (up: boolean) => void): () => void {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  }

  disconnect(): void {
    this.#state = "disconnected";
    for (const listener of [...this.#listeners]) listener(false);
  }

  silence(): void {
    this.#state = "silent";
  }

  delay(operation: Operation, ms: number): void {
    this.#delays.set(operation, ms);
  }

  loseReply(operation: Operation): void {
    this.#lost.add(operation);
  }

  hold(operation: Operation): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held.set(operation, promise);
    return resolve;
  }

  heal(): void {
    this.#state = "up";
    this.#delays.clear();
    this.#lost.clear();
    for (const listener of [...this.#listeners]) listener(true);
  }

  /** Carries a call to the store and its answer back, as well as it can. */
  async carry<Answer>(operation: Operation, call: Call, work: () => Promise<Answer>): Promise<Answer> {
    const given = withinCall(call);
    try {
      await this.#across(given.up);
      const held = this.#held.get(operation);
      this.#held.delete(operation);
      const answer = (held ?? Promise.resolve()).then(work);
      answer.catch(() => {});
      await Promise.race([held, given.up]);
      const result = await Promise.race([answer, given.up]);
      if (this.#lost.delete(operation)) throw new Error(`the reply to "${operation}" was lost, as ordered`);
      const delay = this.#delays.get(operation);
      if (delay !== undefined) await Promise.race([this.#pass(delay), given.up]);
      await this.#across(given.up);
      return result;
    } finally {
      given.release();
    }
  }

  /** Nothing, if the link is up; otherwise what happens to a message on it. */
  async #across(givenUp: Promise<never>): Promise<void> {
    if (this.#state === "disconnected") throw new Error("the store is unreachable, as ordered");
    if (this.#state === "silent") await givenUp;
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.timer(ms, resolve).unref());
  }
}

/** Rejects when the call is over. */
function withinCall({ signal }: Call): { up: Promise<never>; release(): void } {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const over = (): void => reject(signal.reason);
  if (signal.aborted) over();
  else signal.addEventListener("abort", over, { once: true });
  return { up: promise, release: () => signal.removeEventListener("abort", over) };
}
