/**
 * ZooKeeper: an acknowledged write shows that the session is alive, but does not extend it. What extends it is the
 * touch, which the server that took the write passes on some time later, if it lives so long.
 */

import { expect, it } from "vitest";

import { alive, silence } from "./kit/scripted-store.ts";
import { elected, stage, ttl, type Stage } from "./kit/stage.ts";

const lag = ttl / 4;

/** A store like that: the ensemble ends the session when the last touch that reached it is a TTL old. */
class Ensemble {
  endsAt = ttl;
  readonly #on: Stage;
  readonly #touches = new Set<{ cancel(): void }>();

  constructor(on: Stage) {
    this.#on = on;
    on.store.terms.proofLagMs = lag;
  }

  /** From now on, a proof takes so long to the server, and its touch as long as it may from there. */
  proofsTake(ms: number): void {
    const { clock, store } = this.#on;
    store.answers.prove = () =>
      new Promise((resolve) => {
        clock.timer(ms, () => {
          const taken = clock.now();
          this.#touches.add(clock.timer(lag, () => void (this.endsAt = taken + ttl)));
          resolve(alive(ttl));
        });
      });
  }

  /** The server dies with the touches that it has not passed on, and no other one can be reached. */
  serverDies(): void {
    for (const touch of this.#touches) touch.cancel();
    this.#on.store.answers.prove = silence;
  }
}

it("P1: a proof that was slow to arrive is not vouched for by one that left too soon after it", async () => {
  const on = stage();
  const ensemble = new Ensemble(on);
  ensemble.proofsTake(ttl / 6);
  const term = await elected(on, on.elect());
  while (on.store.of("prove").length < 1) await on.clock.advance(10);
  await on.clock.advance(lag);
  ensemble.proofsTake(1);
  // Asks for another proof at once: more than the lag after the first one left, less than that after it arrived.
  on.store.session.events.doubt(new Error("a hiccup"));
  while (on.store.of("prove").length < 2) await on.clock.advance(10);
  await on.clock.advance(5);
  ensemble.serverDies();
  await on.clock.advance(ensemble.endsAt - on.clock.now());
  expect(term.isValid()).toBe(false);
});

it.each([0, 0.02, 0.08, 0.12])(
  "P8: while servers live, the session lasts, with proofs that take %f TTL",
  async (part) => {
    const on = stage();
    const ensemble = new Ensemble(on);
    ensemble.proofsTake(Math.max(1, part * ttl));
    const term = await elected(on, on.elect());
    for (let step = 0; step < 1_000; step++) {
      await on.clock.advance(ttl / 50);
      expect(term.isValid()).toBe(true);
      expect(on.clock.now() + term.remaining()).toBeLessThan(ensemble.endsAt);
    }
  },
);
