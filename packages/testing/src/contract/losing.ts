import { NotLeaderError } from "@elect/core";
import { expect } from "vitest";
import { pass, within } from "../wait.ts";
import { told } from "./candidate.ts";
import { slack, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

/** The next proof comes after a third of the TTL, and may need a second attempt. */
function oneProof(stage: Stage): number {
  return stage.ttl * 0.6 + slack;
}

export function losing(suite: Suite): void {
  suite.group("losing", () => {
    suite.test("P1 S5 A6-5 a deleted record is noticed within one proof", ["operator"], async (stage) => {
      stage.watchman.thirdParty();
      const a = await stage.candidate();
      const term = await a.lead(stage.crashBound);
      await stage.operator.removeLeader(stage.name);
      await within(oneProof(stage), "the leader is told that its record is gone", told(term));
      expect(term.isValid()).toBe(false);
      const again = await a.lead(stage.crashBound);
      expect(again.token, "tokens rise over the deletion").toBeGreaterThan(term.token);
      await pass(stage.ttl);
      expect(again.isValid()).toBe(true);
    });

    suite.test(
      "P3 S1 a session ended by an operator is a loss, and no reason to give up",
      ["operator"],
      async (stage) => {
        stage.watchman.thirdParty();
        const a = await stage.candidate();
        const term = await a.lead(stage.crashBound);
        await stage.operator.endSession(stage.name);
        await within(stage.ttl + slack, "the leader is told", told(term));
        expect(term.isValid()).toBe(false);
        const again = await a.lead(stage.crashBound);
        expect(again.token).toBeGreaterThan(term.token);
      },
    );

    suite.test(
      "P7 4.L-7 a session that ends while its candidate waits wins nothing",
      ["operator"],
      async (stage) => {
        stage.watchman.thirdParty();
        const backend = await stage.process();
        const term = await (await stage.candidate()).lead(stage.crashBound);
        const waiter = await stage.candidate({ backend });
        const bid = waiter.campaign();
        // The waiter's session also leads an election, by which the operator finds it.
        const mark = await stage.candidate({ backend, name: `${stage.name}-mark` });
        const marked = await mark.lead(stage.crashBound);
        await stage.operator.endSession(`${stage.name}-mark`);
        await within(stage.ttl + slack, "the session's end is noticed", told(marked));
        await pass(stage.ttl / 4);
        expect(waiter.terms).toEqual([]);
        expect(term.isValid()).toBe(true);
        await term.resign();
        await within(stage.crashBound, "the waiter wins by a new session", bid);
        expect(waiter.terms).toHaveLength(1);
      },
    );

    suite.test("P10 run() campaigns again after a loss", ["operator"], async (stage) => {
      stage.watchman.thirdParty();
      const a = await stage.candidate();
      let runs = 0;
      const begun: PromiseWithResolvers<void> = Promise.withResolvers();
      const running = a.election.run(async (term) => {
        runs += 1;
        if (runs === 2) return "done";
        begun.resolve();
        await told(term);
        return "lost";
      });
      running.catch(() => {});
      await within(stage.crashBound, "the first term begins", begun.promise);
      await stage.operator.endSession(stage.name);
      expect(await within(2 * stage.crashBound, "the second term ends the run", running)).toBe("done");
      expect(a.terms).toHaveLength(2);
    });

    suite.test("P3 the signal's reason says which term of what ended, and why", [], async (stage) => {
      const a = await stage.candidate();
      const term = await a.lead(stage.crashBound);
      expect(term.remaining()).toBeGreaterThan(0);
      await term.resign();
      expect(term.signal.reason).toBeInstanceOf(NotLeaderError);
      expect(term.signal.reason).toMatchObject({
        election: stage.name,
        token: term.token,
        reason: "resigned",
      });
      expect(() => term.assertValid()).toThrow(NotLeaderError);
      expect(term.remaining()).toBe(0);
      await term.resign();
      expect(a.losses).toEqual(["resigned"]);
    });

    suite.test("P9 G-12 listeners that throw harm nothing", [], async (stage) => {
      const a = await stage.candidate();
      for (const name of ["elected", "lost", "state"] as const) {
        a.election.on(name, () => {
          throw new Error(`a listener of "${name}" that throws`);
        });
      }
      const late: string[] = [];
      a.election.on("lost", ({ reason }) => late.push(reason));
      const term = await a.lead(stage.crashBound);
      await term.resign();
      expect([a.terms.length, a.losses, late]).toEqual([1, ["resigned"], ["resigned"]]);
      await (await a.lead(stage.crashBound)).resign();
      expect([a.terms.length, a.losses.length]).toEqual([2, 2]);
    });
  });
}
