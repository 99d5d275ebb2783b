import { expect } from "vitest";
import { eventually, pass, within } from "../wait.ts";
import { nthRequest } from "./link.ts";
import { slack, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

/** More requests than any store needs to make a candidate the leader. */
const mostSteps = 8;

/** Time for late bytes to arrive and be acted on. */
const afterLateBytes = 300;

export function ambiguity(suite: Suite): void {
  suite.group("ambiguity", () => {
    suite.test(
      "P5 G-6 4.L-1 the reply to each step of acquiring is lost: leads once, leaves no orphan",
      ["faults"],
      async (stage) => {
        const lost = await sweep(stage, async (name, step) => {
          const link = await stage.link();
          const a = await stage.candidate({ link, name });
          const cut = link.once(nthRequest(step, name), "cut-after");
          const term = await a.lead(stage.ttl + stage.crashBound);
          if (cut.hit === null) return false;
          await handOver(stage, name, term);
          expect(a.terms).toHaveLength(1);
          return true;
        });
        expect(lost, `no request with the election's name in it was seen on the link`).toBeGreaterThan(0);
      },
    );

    suite.test(
      "P5 G-6 the link is cut after each request from the very first byte on",
      ["faults"],
      async (stage) => {
        await sweep(stage, async (name, step) => {
          const link = await stage.link();
          const a = await stage.candidate({ link, name });
          const cut = link.once(nthRequest(step), "cut-after");
          const term = await a.lead(stage.ttl + stage.crashBound);
          const happened = cut.hit !== null;
          cut.disarm();
          await handOver(stage, name, term);
          return happened;
        });
      },
    );

    for (const [what, goesOn] of [
      ["given up", false],
      ["won by a second try and resigned", true],
    ] as const) {
      suite.test(
        `P5 S4 G-7 a claim that arrives late, after it was ${what}, is no ghost`,
        ["faults"],
        async (stage) => {
          const late = await sweep(stage, async (name, step) => {
            const link = await stage.link();
            const a = await stage.candidate({ link, name });
            const held = link.once(nthRequest(step, name), "hold");
            const abort = new AbortController();
            const bid = a.campaign(abort.signal);
            // Either it is elected without so many steps, or the store's silence is noticed.
            const noticed = eventually(
              stage.ttl + slack,
              "the silence is noticed",
              () => a.troubles.length > 0,
            );
            await Promise.race([bid, noticed]);
            noticed.catch(() => {});
            if (held.hit === null) {
              await (await bid).resign();
              return false;
            }
            if (!goesOn) abort.abort(new Error("given up"));
            const term = await within(stage.ttl + stage.crashBound, "the second try wins", bid).catch(
              () => null,
            );
            await term?.resign();
            expect(term === null).toBe(!goesOn);
            const b = await stage.candidate({ name });
            const second = await b.lead(stage.ttl + stage.crashBound);
            // By now what was unknown has been disposed of; only then is the late copy a ghost.
            await pass(stage.ttl / 2);
            held.hit.connection.heal();
            await pass(afterLateBytes);
            expect((await b.election.leader())?.token).toBe(second.token);
            await handOver(stage, name, second);
            expect(a.terms).toHaveLength(goesOn ? 1 : 0);
            return true;
          });
          expect(late, `no request with the election's name in it was seen on the link`).toBeGreaterThan(0);
        },
      );
    }

    suite.test(
      "P5 A6-3 the reply to a release is lost: the successor leads, and no one is in its own way",
      ["faults"],
      async (stage) => {
        const link = await stage.link();
        const [a, b] = [await stage.candidate({ link }), await stage.candidate()];
        const term = await a.lead(stage.crashBound);
        const next = b.campaign();
        await pass(stage.ttl / 4);
        const cut = link.once(nthRequest(1, stage.name), "cut-after");
        await within(stage.ttl + slack, "the resignation settles", term.resign());
        const second = await within(stage.ttl + stage.crashBound, "the successor leads", next);
        cut.disarm();
        const back = a.campaign();
        await second.resign();
        expect(
          (await within(stage.ttl + stage.crashBound, "the first leads again", back)).token,
        ).toBeGreaterThan(second.token);
      },
    );

    suite.test(
      "P5 4.L-6 a release that arrives late hits neither the successor nor a later term",
      ["faults"],
      async (stage) => {
        const link = await stage.link();
        const [a, b] = [await stage.candidate({ link }), await stage.candidate()];
        const term = await a.lead(stage.crashBound);
        const next = b.campaign();
        await pass(stage.ttl / 4);
        const trigger = link.once(nthRequest(1), "hold");
        const resigned = term.resign();
        const { connection } = await within(stage.ttl + slack, "something is sent", trigger.seen);
        await within(stage.ttl + slack, "the resignation settles", resigned);
        const second = await within(stage.ttl + stage.crashBound, "the successor leads", next);
        await second.resign();
        const third = await within(stage.ttl + stage.crashBound, "the first leads again", a.campaign());
        connection.heal();
        await pass(stage.ttl * 0.75);
        expect(third.isValid()).toBe(true);
        expect((await b.election.leader())?.token).toBe(third.token);
      },
    );

    suite.test(
      "P5 G-8 the reply to the claim is under way for longer than the lease: no leader on old news",
      ["faults", "stopped"],
      async (stage) => {
        const link = await stage.link();
        const [a, b] = [await stage.candidate({ link }), await stage.candidate()];
        const passed = new Promise<void>((resolve) => {
          const off = link.observe(({ direction, bytes }) => {
            if (direction !== "up" || !bytes.includes(stage.name)) return;
            off();
            link.silence("down");
            resolve();
          });
        });
        void a.campaign();
        await within(stage.crashBound, "the claim is sent", passed);
        const term = await within(2 * stage.ttl + stage.stoppedBound, "the other leads", b.campaign());
        expect(a.terms).toEqual([]);
        link.heal();
        await pass(stage.ttl / 2);
        expect([term.isValid(), a.terms.length]).toEqual([true, 0]);
        await term.resign();
        await eventually(
          stage.ttl + stage.crashBound,
          "the first leads on fresh news",
          () => a.terms.length === 1,
        );
      },
    );
  });
}

/** Plays with the first, second… step until there is no such step; says how many there were. */
async function sweep(stage: Stage, play: (name: string, step: number) => Promise<boolean>): Promise<number> {
  for (let step = 1; step <= mostSteps; step++) {
    if (!(await play(`${stage.name}-step${step}`, step))) return step - 1;
  }
  return mostSteps;
}

/** The term is resigned, and somebody new leads without waiting for any lease: nothing was left behind. */
async function handOver(stage: Stage, name: string, term: { resign(): Promise<void> }): Promise<void> {
  await term.resign();
  const next = await stage.candidate({ name });
  const successor = await next.lead(stage.ttl + stage.crashBound);
  await successor.resign();
}
