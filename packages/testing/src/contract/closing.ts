import { ClosedError, createElection } from "@elect/core";
import { expect } from "vitest";
import { eventually, pass, within } from "../wait.ts";
import type { Candidate } from "./candidate.ts";
import { isNone } from "./options.ts";
import { slack, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

/** Closing takes a round trip; where the store does not answer, the limits of a few calls. */
const closeBound = 8_000 + slack;

export function closing(suite: Suite): void {
  suite.group("closing", () => {
    const states: [string, (stage: Stage, a: Candidate) => Promise<void>][] = [
      ["idle", async () => {}],
      ["about to campaign", async (_, a) => void a.campaign()],
      [
        "waiting",
        async (stage, a) => {
          await (await stage.candidate()).lead(stage.crashBound);
          void a.campaign();
          await pass(stage.ttl / 4);
        },
      ],
      ["leading", async (stage, a) => void (await a.lead(stage.crashBound))],
      ["idle again", async (stage, a) => (await a.lead(stage.crashBound)).resign()],
    ];
    for (const [state, bring] of states) {
      suite.test(`P12 A6-7 close() while ${state} settles and leaves nothing`, [], async (stage) => {
        const a = await stage.candidate();
        await bring(stage, a);
        const leading = a.terms.at(-1);
        expect(await within(closeBound, "close() settles", a.election.close())).toEqual({ remains: [] });
        expect([a.election.state, leading?.isValid() ?? false]).toEqual(["closed", false]);
        const onlooker = await stage.candidate();
        expect((await onlooker.election.candidates()).map(({ id }) => id)).not.toContain(a.id);
        expect((await onlooker.election.leader())?.id).not.toBe(a.id);
        if (state !== "waiting") await leavesNothing(stage);
        await within(closeBound, "the backend closes", a.backend.close());
        expect(await a.election.close(), "closing again is the same").toEqual({ remains: [] });
      });
    }

    suite.test(
      "P12 backend.close() closes its elections; after that everything says so",
      [],
      async (stage) => {
        const [a, b] = [await stage.candidate(), await stage.candidate()];
        const term = await a.lead(stage.crashBound);
        const next = b.campaign();
        await within(closeBound, "the backend closes", a.backend.close());
        expect([a.election.state, term.isValid(), a.losses]).toEqual(["closed", false, ["closed"]]);
        await within(stage.crashBound, "the next one leads", next);
        await expect(a.election.campaign()).rejects.toThrow(ClosedError);
        await expect(a.election.run(() => {})).rejects.toThrow(ClosedError);
        expect(() => createElection({ backend: a.backend, name: stage.name })).toThrow(ClosedError);
      },
    );

    suite.test("P12 close() ends waiting and runs with a ClosedError", [], async (stage) => {
      const [leader, a, b] = [await stage.candidate(), await stage.candidate(), await stage.candidate()];
      await leader.lead(stage.crashBound);
      a.leave();
      const ends = [a.campaign(), b.election.run(() => {})].map((each) =>
        each.catch((error: unknown) => error),
      );
      await pass(stage.ttl / 4);
      await within(closeBound, "both close", Promise.all([a.election.close(), b.election.close()]));
      for (const end of ends) expect(await end).toBeInstanceOf(ClosedError);
    });

    suite.test(
      "P12 G-11 close() at any moment of a campaign settles, and the next one leads",
      [],
      async (stage) => {
        for (const [index, moment] of [0, 1, 2, 3, 5, 8, 13, 21, 34].entries()) {
          const name = `${stage.name}-${index}`;
          const a = await stage.candidate({ name });
          a.leave();
          const bid = a.campaign().catch(() => null);
          await pass(moment);
          await within(closeBound, "the backend closes", a.backend.close());
          await within(slack, "the bid ends", bid);
          expect(a.terms.at(-1)?.isValid() ?? false).toBe(false);
          const next = await stage.candidate({ name });
          await (await next.lead(stage.crashBound)).resign();
        }
      },
    );

    for (const [how, fault] of [
      ["is silent", "silence"],
      ["refuses", "refuse"],
    ] as const) {
      suite.test(
        `P12 A6-7 close() before the first connection to a store that ${how}`,
        ["faults"],
        async (stage) => {
          const link = await stage.link();
          link[fault]();
          const a = await stage.candidate({ link });
          a.leave();
          const bid = a.campaign().catch((error: unknown) => error);
          await pass(stage.ttl / 4);
          expect(await within(closeBound, "close() settles", a.election.close())).toEqual({ remains: [] });
          expect(await bid).toBeInstanceOf(ClosedError);
          await within(closeBound, "the backend closes", a.backend.close());
        },
      );
    }

    suite.test(
      "P12 close() of a leader that is cut off says until when the store holds its place",
      ["faults", "stopped"],
      async (stage) => {
        const link = await stage.link();
        const [a, b] = [await stage.candidate({ link }), await stage.candidate()];
        const term = await a.lead(stage.crashBound);
        link.silence();
        const { remains } = await within(closeBound, "close() settles", a.election.close());
        expect(term.isValid()).toBe(false);
        const [remainder, ...others] = remains;
        expect(others).toEqual([]);
        if (remainder !== undefined) {
          expect(remainder).toMatchObject({
            election: stage.name,
            candidate: a.id,
            because: "store-unreachable",
          });
          expect(remainder.forMs).toBeLessThanOrEqual(stage.ttl + 1);
        }
        await b.lead((remainder?.forMs ?? 0) + stage.stoppedBound);
      },
    );

    suite.test(
      "P12 A6-7 a process that closed ends by itself, leader or not",
      ["children"],
      async (stage) => {
        const children = await Promise.all([stage.child(), stage.child()]);
        await within(stage.crashBound, "one leads", Promise.race(children.map((child) => child.elected())));
        // The leader first, then the one that takes over from it.
        for (const child of children.toSorted(
          (a, b) => Number(b.leads !== null) - Number(a.leads !== null),
        )) {
          expect(await within(closeBound, "the process ends by itself", child.close())).toEqual([]);
          expect([await child.exited, child.stderr]).toEqual([0, ""]);
        }
      },
    );
  });
}

async function leavesNothing(stage: Stage): Promise<void> {
  const { operator } = stage.contract;
  if (isNone(operator)) return;
  let leftovers: readonly string[] = [];
  await eventually(slack, "nothing is left in the store", async () => {
    leftovers = await operator.leftovers(stage.name);
    return leftovers.length === 0;
  }).catch(() => expect(leftovers).toEqual([]));
}
