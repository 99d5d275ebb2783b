import { BusyError, createElection, InvalidOptionError, type ElectionOptions } from "@elect/core";
import { expect } from "vitest";
import { pass, within } from "../wait.ts";
import type { Suite } from "./suite.ts";

export function acquiring(suite: Suite): void {
  suite.group("acquiring", () => {
    suite.test("P1 exactly one of the candidates leads; then the next", [], async (stage) => {
      const candidates = await stage.candidates(3);
      const bids = new Map(
        candidates.map((candidate) => [
          candidate,
          candidate.campaign().then((term) => ({ candidate, term })),
        ]),
      );
      while (bids.size > 0) {
        const { candidate, term } = await within(stage.crashBound, "one leads", Promise.race(bids.values()));
        expect(candidates.filter(({ election }) => election.state === "leading")).toEqual([candidate]);
        bids.delete(candidate);
        await term.resign();
      }
    });

    suite.test("P4 A6-9 tokens rise over 50 changes of hands, as exact integers", [], async (stage) => {
      const [a, b] = [await stage.candidate(), await stage.candidate()];
      const tokens: bigint[] = [];
      const fences: string[] = [];
      let [current, next] = [a, b];
      let term = await current.lead(stage.crashBound);
      for (let change = 0; change < 50; change++) {
        tokens.push(term.token);
        fences.push(term.fence);
        if (change % 10 === 0) expect((await next.election.leader())?.token).toBe(term.token);
        const successor = next.campaign();
        await term.resign();
        term = await within(stage.crashBound, "the next one leads", successor);
        [current, next] = [next, current];
      }
      for (const [index, token] of tokens.entries()) {
        expect(typeof token).toBe("bigint");
        expect(token).toBeGreaterThan(tokens[index - 1] ?? 0n);
        expect(token).toBeLessThan(2n ** 63n);
      }
      expect(fences.toSorted()).toEqual(fences);
      expect(new Set(fences.map((fence) => fence.length))).toEqual(new Set([30]));
    });

    suite.test("P4 G-20 the same id, elected again, gets a greater token", [], async (stage) => {
      const first = await (await stage.candidate({ id: "same" })).lead(stage.crashBound);
      const restarted = await stage.candidate({ id: "same" });
      const second = restarted.campaign();
      await pass(stage.ttl / 4);
      expect(first.isValid(), "a second process of the same id takes nothing from the first").toBe(true);
      await first.resign();
      expect((await within(stage.crashBound, "the second leads", second)).token).toBeGreaterThan(first.token);
    });

    suite.test("P13 bad options are refused before anything is started", [], async (stage) => {
      const backend = await stage.process();
      const { maxTtlMs } = backend.capabilities;
      const bad: [string, Partial<ElectionOptions>][] = [
        ["name", { name: "" }],
        ["name", { name: "a\u0000b" }],
        ["name", { name: "x".repeat(201) }],
        ["id", { id: "" }],
        ["id", { id: "line\nbreak" }],
        ["ttl", { ttl: 499 }],
        ["ttl", { ttl: Number.NaN }],
        ["ttl", { ttl: maxTtlMs + 1 }],
        ["generation", { generation: -1 }],
        ["drainTimeout", { drainTimeout: -1 }],
        ["metadata", { metadata: "x".repeat(5_000) }],
      ];
      for (const [option, options] of bad) {
        const make = (): unknown => createElection({ backend, name: stage.name, ttl: stage.ttl, ...options });
        expect(make, `${option}: ${JSON.stringify(options).slice(0, 40)}`).toThrow(InvalidOptionError);
        expect(make).toThrow(expect.objectContaining({ option }));
      }
    });

    suite.test("P13 any name, id and metadata that are allowed are taken as they are", [], async (stage) => {
      const backend = await stage.process();
      const onlooker = await stage.process();
      const odd = [
        "a/b/c",
        "..",
        ".",
        "with space",
        "q'uo\"te",
        "per%cent%2F",
        "{tag}",
        "*?[x]",
        "a:b",
        "\\",
        "名前/é",
        "-- ;",
      ];
      for (const part of [...odd, "x".repeat(160)]) {
        const name = `${stage.name}/${part}`;
        const metadata = { address: `http://[::1]/${part}`, list: [1, null, "é\u2028"], text: "}{$1'\"" };
        const candidate = await stage.candidate({ backend, name, id: part, metadata });
        const term = await candidate.lead(stage.crashBound);
        const seen = createElection({ backend: onlooker, name, ttl: stage.ttl });
        expect(await seen.leader()).toEqual({ id: part, token: term.token, metadata });
        await term.resign();
        expect(await seen.leader()).toBeNull();
      }
    });

    suite.test("P11 elections of one backend share a session and nothing else", [], async (stage) => {
      const backend = await stage.process();
      const [x, y] = [`${stage.name}-x`, `${stage.name}-y`];
      const one = await stage.candidate({ backend, name: x });
      const other = await stage.candidate({ backend, name: y });
      const [ofX, ofY] = await Promise.all([one.lead(stage.crashBound), other.lead(stage.crashBound)]);
      await ofX.resign();
      expect(ofY.isValid()).toBe(true);
      const rival = await stage.candidate({ name: x });
      await rival.lead(stage.crashBound);
      expect(ofY.isValid()).toBe(true);
      expect(other.losses).toEqual([]);
    });

    suite.test(
      "S2 two candidates of one process and one election: one leads, the other waits",
      [],
      async (stage) => {
        const backend = await stage.process();
        const [a, b] = [await stage.candidate({ backend }), await stage.candidate({ backend })];
        const term = await a.lead(stage.crashBound);
        const next = b.campaign();
        await pass(stage.ttl / 2);
        expect(b.terms).toEqual([]);
        await term.resign();
        await within(stage.crashBound, "the other leads", next);
      },
    );

    suite.test("one election is one candidate: it cannot campaign twice at once", [], async (stage) => {
      const a = await stage.candidate();
      const bid = a.campaign();
      await expect(a.election.campaign()).rejects.toThrow(BusyError);
      const term = await within(stage.crashBound, "the first bid wins", bid);
      await expect(a.election.campaign()).rejects.toThrow(BusyError);
      expect(term.isValid()).toBe(true);
    });

    suite.test("the first to wait is the first to lead", ["fifo"], async (stage) => {
      const [leader, ...waiters] = await stage.candidates(4);
      let term = await leader?.lead(stage.crashBound);
      const bids = [];
      for (const [index, waiter] of waiters.entries()) {
        bids.push(waiter.campaign());
        const waiting = async (): Promise<boolean> =>
          (await waiter.election.candidates()).length === index + 2;
        while (!(await waiting())) await pass(10);
      }
      for (const [index, bid] of bids.entries()) {
        await term?.resign();
        term = await within(stage.crashBound, `waiter ${index + 1} leads`, bid);
      }
    });
  });
}
