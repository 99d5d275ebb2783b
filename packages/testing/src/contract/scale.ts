import { expect } from "vitest";
import { eventually, pass, within } from "../wait.ts";
import type { Candidate } from "./candidate.ts";
import { slack } from "./stage.ts";
import type { Suite } from "./suite.ts";

const candidatesOfOne = 60;
const electionsOfOne = 500;

export function scale(suite: Suite): void {
  suite.groupByItself("scale", () => {
    suite.test(
      `P1 P10 G-13 ${candidatesOfOne} candidates start together: one leads, and then each of them in its turn`,
      [],
      async (stage) => {
        const backends = await Promise.all(Array.from({ length: 6 }, () => stage.process()));
        const led: string[] = [];
        const runs: Promise<void>[] = [];
        for (let each = 0; each < candidatesOfOne; each++) {
          const backend = backends[each % backends.length];
          const candidate = await stage.candidate({
            ...(backend === undefined ? {} : { backend }),
            id: `candidate-${each}`,
          });
          runs.push(candidate.election.run(() => void led.push(candidate.id)));
        }
        await within(60_000, "each of them has led once", Promise.all(runs));
        expect(new Set(led).size).toBe(candidatesOfOne);
        expect(led).toHaveLength(candidatesOfOne);
      },
    );

    suite.test(
      `P11 G-14 ${electionsOfOne} elections of one process: two connections, the requests of one, one loss`,
      ["faults"],
      async (stage) => {
        const link = await stage.link();
        const { ttl } = stage;
        const backend = await stage.process(link.url);
        const lead = async (name: string): Promise<Candidate> => {
          const candidate = await stage.candidate({ backend, name, ttl });
          await candidate.lead(30_000);
          return candidate;
        };
        const first = await lead(`${stage.name}-0`);
        await pass(ttl / 4);
        const ofOne = await link.count(pass(ttl));
        const names = Array.from({ length: electionsOfOne - 1 }, (_, index) => `${stage.name}-${index + 1}`);
        const all = [first, ...(await Promise.all(names.map(lead)))];
        await pass(ttl / 4);
        expect(link.connections.length).toBeLessThanOrEqual(2);
        const ofMany = await link.count(pass(ttl));
        // A large request may pass in several pieces; one for each election would be hundreds.
        const atMost = ofOne + electionsOfOne / 20;
        expect(ofMany, `one election sends ${ofOne} pieces in the same time`).toBeLessThanOrEqual(atMost);

        link.silence();
        await eventually(ttl + slack, "all are lost", () => all.every(({ losses }) => losses.length === 1));
        expect(all.every(({ terms }) => terms.length === 1 && terms[0]?.isValid() === false)).toBe(true);
      },
    );

    suite.test("P11 100 elections of one process are led, and given back, together", [], async (stage) => {
      const [backend, other] = [await stage.process(), await stage.process()];
      const of = (process: typeof backend) =>
        Promise.all(
          Array.from({ length: 100 }, (_, index) =>
            stage.candidate({ backend: process, name: `${stage.name}-${index}` }),
          ),
        );
      const [ours, theirs] = [await of(backend), await of(other)];
      await Promise.all(ours.map((candidate) => candidate.lead(30_000)));
      const next = theirs.map((candidate) => candidate.campaign());
      await pass(stage.ttl / 4);
      await within(30_000, "the backend closes", backend.close());
      await within(30_000, "the other process leads them all", Promise.all(next));
    });
  });
}
