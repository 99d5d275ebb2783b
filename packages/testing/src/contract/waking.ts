import { expect } from "vitest";
import { pass, within } from "../wait.ts";
import type { Link } from "./link.ts";
import type { Suite } from "./suite.ts";

export function waking(suite: Suite): void {
  suite.groupByItself("waking", () => {
    suite.test(
      "P10 a resignation wakes the successor long before any lease could run out",
      [],
      async (stage) => {
        const [a, b] = [await stage.candidate(), await stage.candidate()];
        const took: number[] = [];
        let [current, next] = [a, b];
        let term = await current.lead(stage.crashBound);
        for (let change = 0; change < 9; change++) {
          const successor = next.campaign();
          await pass(stage.ttl / 20);
          const since = performance.now();
          await term.resign();
          term = await within(stage.crashBound, "the next one leads", successor);
          took.push(performance.now() - since);
          [current, next] = [next, current];
        }
        const median = took.toSorted((x, y) => x - y)[4];
        expect(median, "the net under the push is about one TTL").toBeLessThan(stage.ttl / 4);
      },
    );

    suite.test("P11 4.D-34 a hand-over wakes one waiter, not all of them", ["faults"], async (stage) => {
      const leader = await stage.candidate();
      const waiters = await Promise.all(
        Array.from({ length: 10 }, async () => {
          const link = await stage.link();
          return { link, candidate: await stage.candidate({ link }) };
        }),
      );
      let term = await leader.lead(stage.crashBound);
      const bids = waiters.map(({ candidate }) => candidate.campaign().then((won) => ({ candidate, won })));
      await pass(stage.ttl / 2);
      const woken: number[] = [];
      const won = new Set<unknown>();
      for (let change = 0; change < 4; change++) {
        const still = waiters.filter(({ candidate }) => !won.has(candidate));
        const next = Promise.race(bids.filter((_, index) => !won.has(waiters[index]?.candidate)));
        const handOver = (async () => {
          await term.resign();
          const successor = await within(stage.crashBound, "the next one leads", next);
          await pass(stage.ttl / 20);
          return successor;
        })();
        const asked = await Promise.all(still.map(({ link }) => asks(link, handOver, stage.name)));
        woken.push(asked.filter(Boolean).length);
        const { candidate, won: successor } = await handOver;
        won.add(candidate);
        term = successor;
      }
      // A waiter's own net may fall into the window by chance; a herd would be there every time.
      expect(
        Math.min(...woken),
        `waiters that asked the store at each hand-over: ${woken.join(", ")}`,
      ).toBeLessThanOrEqual(3);
    });
  });
}

/** Whether a client asks the store about the election while `during` lasts. */
async function asks(link: Link, during: Promise<unknown>, about: string): Promise<boolean> {
  return (await link.count(during, about)) > 0;
}
