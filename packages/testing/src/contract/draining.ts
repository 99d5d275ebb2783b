import { expect } from "vitest";
import { eventually, pass, within } from "../wait.ts";
import { told } from "./candidate.ts";
import { slack } from "./stage.ts";
import type { Suite } from "./suite.ts";

export function draining(suite: Suite): void {
  suite.group("draining", () => {
    suite.test(
      "P6 4.L-8 work may take longer than the TTL to stop: its term is kept, then handed over",
      [],
      async (stage) => {
        const [a, b] = [await stage.candidate(), await stage.candidate()];
        const abort = new AbortController();
        const order: string[] = [];
        const running = a.election.run(
          async (term) => {
            await told(term);
            order.push("told");
            await pass(1.5 * stage.ttl);
            expect([term.isValid(), a.election.state]).toEqual([true, "draining"]);
            order.push("work ended");
          },
          { signal: abort.signal },
        );
        const ended = running.catch((error: unknown) => error);
        await eventually(stage.crashBound, "a leads", () => a.terms.length === 1);
        const next = b.campaign().then(() => order.push("successor"));
        await pass(stage.ttl / 4);
        abort.abort(new Error("shutting down"));
        expect(await within(2 * stage.ttl + slack, "the run ends", ended)).toBe(abort.signal.reason);
        await within(stage.crashBound, "the successor leads", next);
        expect(order).toEqual(["told", "work ended", "successor"]);
        expect(a.losses).toEqual(["aborted"]);
      },
    );

    suite.test(
      "P6 P12 G-12 work that ignores its signal is reported, and nothing is released under it",
      [],
      async (stage) => {
        const [a, b] = [await stage.candidate({ drainTimeout: 100 }), await stage.candidate()];
        const work = Promise.withResolvers<void>();
        stage.finally(work.resolve);
        let overdue = 0;
        a.election.on("overdue", () => (overdue += 1));
        const running = a.election.run(() => work.promise);
        running.catch(() => {});
        await eventually(stage.crashBound, "a leads", () => a.terms.length === 1);
        const next = b.campaign();
        const report = await within(stage.ttl + slack, "close() settles", a.election.close());
        expect(report.remains).toMatchObject([
          {
            election: stage.name,
            candidate: a.id,
            token: a.terms[0]?.token,
            because: "work-running",
            forMs: Infinity,
          },
        ]);
        expect(overdue).toBe(1);
        await pass(1.5 * stage.ttl);
        expect([a.terms[0]?.isValid(), b.terms.length]).toEqual([true, 0]);
        work.resolve();
        await within(stage.crashBound, "the successor leads once the work ended", next);
        expect(a.losses).toEqual(["closed"]);
      },
    );

    suite.test(
      "P6 G-10 work that returns or throws ends its term, and only then the next begins",
      [],
      async (stage) => {
        const [a, b] = [await stage.candidate(), await stage.candidate()];
        const order: string[] = [];
        expect(
          await within(
            stage.crashBound,
            "the run ends",
            a.election.run(() => "a result"),
          ),
        ).toBe("a result");
        const failing = a.election.run(async () => {
          const next = b.campaign().then((term) => (order.push("successor"), term));
          stage.finally(() => void next.catch(() => {}));
          await pass(stage.ttl / 4);
          order.push("work ended");
          throw new Error("the work failed");
        });
        await expect(within(stage.crashBound, "the run ends", failing)).rejects.toThrow("the work failed");
        await eventually(stage.crashBound, "the successor leads", () => b.terms.length === 1);
        expect(order).toEqual(["work ended", "successor"]);
        expect(a.losses).toEqual(["resigned", "resigned"]);
      },
    );

    suite.test("P6 resign() inside of run() tells the work, and waits for it", [], async (stage) => {
      const [a, b] = [await stage.candidate(), await stage.candidate()];
      const running = a.election.run(async (term) => {
        void b.campaign();
        await term.resign();
        expect([term.signal.aborted, term.isValid()]).toEqual([true, true]);
        await pass(stage.ttl / 4);
        expect([term.isValid(), b.terms.length]).toEqual([true, 0]);
      });
      await within(stage.crashBound, "the run ends", running);
      await eventually(stage.crashBound, "the successor leads", () => b.terms.length === 1);
    });
  });
}
