import { createElection, type Leader } from "@elect/core";
import { expect } from "vitest";
import { eventually, pass, within } from "../wait.ts";
import { slack, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

/** Somebody who looks on, and what was seen. */
async function onlooker(
  stage: Stage,
  url?: string,
): Promise<{ seen: (Leader | null)[]; stop: () => Promise<unknown> }> {
  const backend = await stage.process(url);
  const election = createElection({ backend, name: stage.name, ttl: stage.ttl });
  const seen: (Leader | null)[] = [];
  const stopping = new AbortController();
  const looking = (async () => {
    for await (const leader of election.observe({ signal: stopping.signal })) seen.push(leader);
  })();
  const ended = looking.catch((error: unknown) => error);
  stage.finally(() => stopping.abort());
  return {
    seen,
    stop: async () => {
      stopping.abort(new Error("seen enough"));
      return within(slack, "the observation ends", ended);
    },
  };
}

export function observing(suite: Suite): void {
  suite.group("observing", () => {
    suite.test("leader() and observe() say who leads, and null when nobody does", [], async (stage) => {
      const { seen, stop } = await onlooker(stage);
      await eventually(stage.crashBound, "nobody is seen", () => seen.length === 1);
      const metadata = { address: "http://10.0.0.7:3000" };
      const a = await stage.candidate({ id: "a", metadata });
      const term = await a.lead(stage.crashBound);
      const leader = { id: "a", token: term.token, metadata };
      expect(await a.election.leader()).toEqual(leader);
      await eventually(stage.crashBound, "the leader is seen", () => seen.length === 2);
      await term.resign();
      expect(await a.election.leader()).toBeNull();
      await eventually(stage.crashBound, "its end is seen", () => seen.length === 3);
      expect(seen).toEqual([null, leader, null]);
      expect(await stop(), "ends with the signal's reason").toMatchObject({ message: "seen enough" });
    });

    suite.test(
      "G-26 4.D-37 through 30 hand-overs tokens never go back, nothing comes twice, the end is right",
      [],
      async (stage) => {
        const { seen } = await onlooker(stage);
        const [a, b] = [await stage.candidate(), await stage.candidate()];
        let [current, next] = [a, b];
        let term = await current.lead(stage.crashBound);
        for (let change = 0; change < 30; change++) {
          const successor = next.campaign();
          await term.resign();
          term = await within(stage.crashBound, "the next one leads", successor);
          [current, next] = [next, current];
        }
        await eventually(
          stage.crashBound,
          "the last leader is seen",
          () => seen.at(-1)?.token === term.token,
        );
        await term.resign();
        await eventually(stage.crashBound, "its end is seen", () => seen.at(-1) === null);
        const tokens = seen.flatMap((leader) => (leader === null ? [] : [leader.token]));
        for (const [index, token] of tokens.entries()) expect(token).toBeGreaterThan(tokens[index - 1] ?? 0n);
        for (const [index, leader] of seen.entries())
          expect(leader === null && seen[index - 1] === null).toBe(false);
      },
    );

    suite.test(
      "candidates() lists who is there, the leader first where there is an order",
      [],
      async (stage) => {
        const a = await stage.candidate({ id: "a", metadata: 1 });
        const b = await stage.candidate({ id: "b", metadata: 2 });
        const abort = new AbortController();
        const ids = async (): Promise<string[]> => (await a.election.candidates()).map(({ id }) => id);
        expect(await ids()).toEqual([]);
        const term = await a.lead(stage.crashBound);
        const bid = b.campaign(abort.signal);
        await eventually(stage.crashBound, "both are listed", async () => (await ids()).length === 2);
        const listed = await a.election.candidates();
        expect(listed.toSorted((x, y) => x.id.localeCompare(y.id))).toEqual([
          { id: "a", metadata: 1 },
          { id: "b", metadata: 2 },
        ]);
        if (stage.contract.capabilities.order === "fifo") expect(listed[0]?.id).toBe("a");
        abort.abort(new Error("no longer"));
        await bid.catch(() => {});
        await eventually(
          stage.crashBound,
          "the one that gave up is gone",
          async () => (await ids()).join() === "a",
        );
        await term.resign();
        await eventually(stage.crashBound, "nobody is left", async () => (await ids()).length === 0);
      },
    );

    suite.test("the end of an election ends its observation, and break ends it too", [], async (stage) => {
      const a = await stage.candidate();
      const looking = (async () => {
        for await (const _ of a.election.observe());
        return "ended";
      })();
      await pass(stage.ttl / 4);
      await a.election.close();
      expect(await within(slack, "the observation ends", looking)).toBe("ended");
      const b = await stage.candidate();
      for await (const leader of b.election.observe()) {
        expect(leader).toBeNull();
        break;
      }
    });

    suite.test(
      "G-26 an onlooker that was cut off sees the leader of now after healing",
      ["faults"],
      async (stage) => {
        const link = await stage.link();
        const { seen } = await onlooker(stage, link.url);
        const [a, b] = [await stage.candidate(), await stage.candidate()];
        const first = await a.lead(stage.crashBound);
        await eventually(stage.crashBound, "the first is seen", () => seen.at(-1)?.token === first.token);
        link.silence();
        await first.resign();
        const second = await b.lead(stage.crashBound);
        await pass(stage.ttl / 2);
        link.heal();
        await eventually(
          6_000 + stage.crashBound,
          "the second is seen",
          () => seen.at(-1)?.token === second.token,
        );
      },
    );

    suite.test("G-26 a crashed leader is seen to be gone, within the bound", ["children"], async (stage) => {
      const { seen } = await onlooker(stage);
      const child = await stage.child();
      const token = await within(stage.crashBound, "the child leads", child.elected());
      await eventually(stage.crashBound, "it is seen", () => seen.at(-1)?.token === token);
      await child.kill();
      await eventually(stage.crashBound, "it is seen to be gone", () => seen.at(-1) === null);
    });
  });
}
