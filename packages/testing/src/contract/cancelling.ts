import { getEventListeners } from "node:events";
import { expect } from "vitest";
import { pass, within } from "../wait.ts";
import { slack } from "./stage.ts";
import type { Suite } from "./suite.ts";

/** From before the first byte to after the election, however fast the store. */
const moments = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55];

export function cancelling(suite: Suite): void {
  // Enough to see a leak of one listener for each campaign; many more where they cost no round trips.
  const campaigns = suite.contract.capabilities.reach === "process" ? 10_000 : 200;
  suite.group("cancelling", () => {
    suite.test("A6-8 a signal that is already aborted ends everything at once", [], async (stage) => {
      const a = await stage.candidate();
      const signal = AbortSignal.abort(new Error("too late"));
      await expect(a.election.campaign({ signal })).rejects.toBe(signal.reason);
      await expect(a.election.run(() => {}, { signal })).rejects.toBe(signal.reason);
      await expect(a.election.leader({ signal })).rejects.toBe(signal.reason);
      await expect(a.election.candidates({ signal })).rejects.toBe(signal.reason);
      expect([a.election.state, a.terms]).toEqual(["idle", []]);
    });

    suite.test("P7 A6-4 who stopped waiting is never elected, and is in nobody's way", [], async (stage) => {
      const [leader, quitter, other] = [
        await stage.candidate(),
        await stage.candidate(),
        await stage.candidate(),
      ];
      const term = await leader.lead(stage.crashBound);
      const abort = new AbortController();
      const bid = quitter.campaign(abort.signal);
      await pass(stage.ttl / 4);
      const next = other.campaign();
      await pass(stage.ttl / 8);
      abort.abort(new Error("no longer"));
      await expect(within(slack, "the bid ends", bid)).rejects.toBe(abort.signal.reason);
      await term.resign();
      await within(stage.crashBound, "the other leads", next);
      expect(quitter.terms).toEqual([]);
      // Its election is as good as new.
      const again = quitter.campaign();
      await other.terms[0]?.resign();
      await within(stage.crashBound, "the quitter leads after all", again);
    });

    suite.test("P7 G-11 a campaign given up at any moment leaves nothing behind", [], async (stage) => {
      for (const [index, moment] of moments.entries()) {
        const name = `${stage.name}-${index}`;
        const a = await stage.candidate({ name });
        const abort = new AbortController();
        const bid = a.campaign(abort.signal);
        await pass(moment);
        abort.abort(new Error("given up"));
        const term = await within(
          slack,
          "the bid ends",
          bid.catch(() => null),
        );
        await term?.resign();
        const next = await stage.candidate({ name });
        await (await next.lead(stage.crashBound)).resign();
        expect(a.terms.length, "elected only if it was told so").toBe(term === null ? 0 : 1);
      }
    });

    suite.test(
      "P7 a run that is given up while it waits ends with the signal's reason",
      [],
      async (stage) => {
        const [leader, waiter] = [await stage.candidate(), await stage.candidate()];
        await leader.lead(stage.crashBound);
        const abort = new AbortController();
        let ran = false;
        const running = waiter.election.run(() => (ran = true), { signal: abort.signal });
        const ended = running.catch((error: unknown) => error);
        await pass(stage.ttl / 4);
        abort.abort(new Error("no longer"));
        expect(await within(slack, "the run ends", ended)).toBe(abort.signal.reason);
        expect(ran).toBe(false);
      },
    );

    suite.test(`A6-8 ${campaigns} campaigns on one signal leave no listener on it`, [], async (stage) => {
      const a = await stage.candidate();
      const { signal } = new AbortController();
      let most = 0;
      for (let campaign = 0; campaign < campaigns; campaign++) {
        const bid = a.campaign(signal);
        most = Math.max(most, getEventListeners(signal, "abort").length);
        await (await within(stage.crashBound, "elected", bid)).resign();
      }
      expect(getEventListeners(signal, "abort")).toEqual([]);
      expect(most).toBeLessThanOrEqual(3);
    });
  });
}
