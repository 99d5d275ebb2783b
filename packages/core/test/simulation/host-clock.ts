/** The clock of one process: its own zero, its own rate within the 1 % that the contract allows, timers a little late. */

import type { Clock, Timer } from "../../src/clock.ts";
import type { Chance } from "./chance.ts";
import type { Host, Timeline } from "./timeline.ts";

export class HostClock implements Clock {
  readonly #timeline: Timeline;
  readonly #host: Host;
  readonly #chance: Chance;
  readonly #offset: number;
  readonly #rate: number;
  /** How many timers are set. */
  timers = 0;

  constructor(timeline: Timeline, host: Host, chance: Chance) {
    this.#timeline = timeline;
    this.#host = host;
    this.#chance = chance;
    this.#offset = chance.between(0, 1e9);
    this.#rate = chance.of([0.99, 1.01, chance.between(0.99, 1.01)]);
  }

  now(): number {
    return this.#offset + this.#timeline.now * this.#rate;
  }

  timer(ms: number, fire: () => void): Timer {
    this.timers += 1;
    let set = true;
    const done = (): void => {
      if (set) this.timers -= 1;
      set = false;
    };
    const late = this.#chance.hits(0.1) ? this.#chance.between(0, 20) : this.#chance.between(0, 1);
    const happening = this.#timeline.in(ms / this.#rate + late, this.#host, () => {
      done();
      fire();
    });
    const cancel = (): void => {
      done();
      happening.cancel();
    };
    return { cancel, unref: () => {} };
  }

  random(): number {
    return this.#chance.next();
  }

  nonce(): string {
    return this.#chance.hex(32);
  }

  /** How long `ms` of this clock last in true time. */
  truly(ms: number): number {
    return ms / this.#rate;
  }
}
