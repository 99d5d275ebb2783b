import { UnreachableError, type Term } from "@elect/core";
import { expect } from "vitest";
import { eventually, pass, within } from "../wait.ts";
import { told, type Candidate } from "./candidate.ts";
import type { Link } from "./link.ts";
import { slack, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

/** A leader behind a link that can fail, and a rival whose link does not. */
interface Cast {
  readonly link: Link;
  readonly a: Candidate;
  readonly b: Candidate;
  readonly term: Term;
  /** The rival's bid. */
  readonly next: Promise<Term>;
}

async function cast(stage: Stage, ttl: number = stage.ttl): Promise<Cast> {
  const link = await stage.link();
  const a = await stage.candidate({ link, ttl });
  const b = await stage.candidate({ ttl });
  const term = await a.lead(stage.crashBound);
  const next = b.campaign();
  await pass(stage.ttl / 4);
  return { link, a, b, term, next };
}

export function silentLink(suite: Suite): void {
  suite.group("silent link", () => {
    const cuts: [string, (link: Link, ttl: number) => void][] = [
      ["G-3 A6-1 a link that is silent both ways", (link) => link.silence()],
      ["G-4 4.L-4 a link on which nothing reaches the store", (link) => link.silence("up")],
      ["G-4 a link on which nothing comes back", (link) => link.silence("down")],
      ["G-5 4.L-2 replies that take 0.9 TTL", (link, ttl) => link.slow({ delayMs: 0.9 * ttl }, "down")],
      ["G-5 replies that take 1.5 TTL", (link, ttl) => link.slow({ delayMs: 1.5 * ttl }, "down")],
    ];
    for (const [fault, apply] of cuts) {
      suite.test(
        `P2 P3 ${fault}: told in time, replaced, and no trouble afterwards`,
        ["faults", "stopped"],
        async (stage) => {
          const { link, a, b, term, next } = await cast(stage);
          apply(link, stage.ttl);
          const since = performance.now();
          await within(stage.ttl + slack, "the leader is told", told(term));
          expect(performance.now() - since, "told before the store may give the term away").toBeLessThan(
            stage.ttl + slack,
          );
          expect(term.isValid()).toBe(false);
          expect(b.terms.length, "told before the rival is elected").toBe(0);
          const back = a.campaign();
          const second = await within(stage.ttl + stage.stoppedBound, "the rival leads", next);
          expect(second.token).toBeGreaterThan(term.token);
          link.heal();
          await pass(stage.ttl / 2);
          expect([second.isValid(), a.terms.length], "the healed one waits like everybody").toEqual([
            true,
            1,
          ]);
          await second.resign();
          expect(
            (await within(stage.crashBound + stage.ttl, "the healed one leads again", back)).token,
          ).toBeGreaterThan(second.token);
        },
      );
    }

    const hiccups: [string, (link: Link, ttl: number) => Promise<void>][] = [
      ["silent for 0.25 TTL", async (link, ttl) => (link.silence(), await pass(0.25 * ttl))],
      ["refused for 0.25 TTL", async (link, ttl) => (link.refuse(), await pass(0.25 * ttl))],
      ["reset", async (link) => link.reset()],
      [
        "cut after a proof was applied, its reply lost",
        async (link) => void (await link.once(({ direction }) => direction === "up", "cut-after").seen),
      ],
    ];
    for (const [fault, happen] of hiccups) {
      suite.test(`P8 a link that is ${fault} costs nobody the term`, ["faults"], async (stage) => {
        const ttl = 2 * stage.ttl;
        const { link, a, b, term } = await cast(stage, ttl);
        await happen(link, ttl);
        link.heal();
        await pass(ttl);
        expect([term.isValid(), a.losses, b.terms.length]).toEqual([true, [], 0]);
        // A proof may be late at this very moment, on a busy machine; the next one makes up for it.
        await eventually(ttl, "the leader is certain", () => a.election.state === "leading");
        expect([term.isValid(), a.losses, b.terms.length]).toEqual([true, [], 0]);
      });
    }

    suite.test("P8 P10 a waiter whose link was reset still waits", ["faults"], async (stage) => {
      const link = await stage.link();
      const term = await (await stage.candidate()).lead(stage.crashBound);
      const waiter = await stage.candidate({ link });
      const bid = waiter.campaign();
      await pass(stage.ttl / 4);
      link.reset();
      await pass(stage.ttl / 4);
      await term.resign();
      await within(stage.crashBound, "the waiter leads", bid);
    });

    suite.test(
      "P7 A6-10 a waiter that was cut off for 1.5 TTL waits again once healed",
      ["faults"],
      async (stage) => {
        const link = await stage.link();
        const term = await (await stage.candidate()).lead(stage.crashBound);
        const waiter = await stage.candidate({ link });
        const bid = waiter.campaign();
        await pass(stage.ttl / 4);
        link.silence();
        await pass(1.5 * stage.ttl);
        expect(waiter.terms).toEqual([]);
        link.heal();
        await pass(stage.ttl / 4);
        await term.resign();
        await within(stage.ttl + stage.crashBound, "the waiter leads", bid);
      },
    );

    suite.test(
      "P7 a waiter that is cut off while the leader goes blocks nobody",
      ["faults", "stopped"],
      async (stage) => {
        const link = await stage.link();
        const [leader, other] = [await stage.candidate(), await stage.candidate()];
        const term = await leader.lead(stage.crashBound);
        const cutOff = await stage.candidate({ link });
        void cutOff.campaign();
        await pass(stage.ttl / 4);
        const next = other.campaign();
        await pass(stage.ttl / 4);
        link.silence();
        await term.resign();
        await within(stage.ttl + stage.stoppedBound, "the next one leads", next);
        expect(cutOff.terms).toEqual([]);
      },
    );

    for (const [how, apply] of [
      ["refuses", (link: Link) => link.refuse()],
      ["is silent", (link: Link) => link.silence()],
    ] as const) {
      suite.test(
        `P10 G-21 A6-6 a store that ${how} from the start is tried until it answers`,
        ["faults"],
        async (stage) => {
          const link = await stage.link();
          apply(link);
          const a = await stage.candidate({ link });
          const bid = a.campaign();
          await eventually(stage.ttl + slack, "the trouble is reported", () => a.troubles.length > 0);
          expect(a.election.state).toBe("campaigning");
          link.heal();
          await within(stage.ttl + stage.crashBound, "the candidate leads once the store answers", bid);
        },
      );
    }

    suite.test(
      "P10 G-21 a store that flaps every 0.3 TTL is led again once it stays",
      ["faults"],
      async (stage) => {
        const link = await stage.link();
        const [a, b] = [await stage.candidate({ link }), await stage.candidate({ link })];
        const stop = new AbortController();
        stage.finally(() => stop.abort());
        for (const { election } of [a, b]) election.run(told, { signal: stop.signal }).catch(() => {});
        const led = (): boolean => [a, b].some(({ terms }) => terms.at(-1)?.isValid() === true);
        await eventually(stage.crashBound, "somebody leads", led);
        for (let flap = 0; flap < 8; flap++) {
          if (flap % 2 === 0) link.silence();
          else link.heal();
          await pass(0.3 * stage.ttl);
        }
        link.heal();
        await eventually(stage.ttl + stage.crashBound, "somebody leads again", led);
        expect(a.troubles.length + b.troubles.length, "backs off rather than hammering").toBeLessThan(300);
      },
    );

    suite.test("P8 G-23 a slow, jittery, narrow link is no reason to lose", ["faults"], async (stage) => {
      const ttl = 2 * stage.ttl;
      const { link, a, term } = await cast(stage, ttl);
      link.slow({ delayMs: ttl / 80, jitterMs: ttl / 160, bytesPerSecond: 50_000 });
      await pass(1.5 * ttl);
      expect([term.isValid(), a.losses]).toEqual([true, []]);
    });

    suite.test(
      "P8 a question to a silent store ends: by its signal, or as unreachable",
      ["faults"],
      async (stage) => {
        const link = await stage.link();
        const a = await stage.candidate({ link });
        link.silence();
        const abort = new AbortController();
        const question = a.election.leader({ signal: abort.signal });
        abort.abort(new Error("never mind"));
        await expect(within(slack, "the question ends", question)).rejects.toThrow("never mind");
        await expect(within(8_000 + slack, "the question ends", a.election.leader())).rejects.toThrow(
          UnreachableError,
        );
      },
    );

    suite.test(
      "P10 G-28 a dead endpoint in the list is passed over",
      ["several-endpoints"],
      async (stage) => {
        const { faults } = stage.contract;
        if (!("endpoints" in faults)) return;
        const url = faults.urlThrough([{ host: "127.0.0.1", port: 1 }, ...faults.endpoints]);
        const a = await stage.candidate({ backend: await stage.process(url) });
        const term = await a.lead(stage.ttl + stage.crashBound);
        await pass(stage.ttl);
        expect(term.isValid()).toBe(true);
      },
    );
  });
}
