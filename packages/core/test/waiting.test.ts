import { describe, expect, it } from "vitest";

import type { ClaimAnswer } from "../src/port.ts";
import { granted, held } from "./kit/scripted-store.ts";
import { settle, stage, ttl, watched, type Stage } from "./kit/stage.ts";

/** Campaigns in each election, all of them held by somebody else. */
async function waiters(on: Stage, names: readonly string[], answer: ClaimAnswer = held()): Promise<void> {
  on.store.answers.claim = async (requests) => requests.map(() => answer);
  for (const name of names) void on.elect(name).campaign();
  await settle();
}

const asked = (on: Stage): string[][] =>
  on.store.of("claim").map((call) => call.requests.map((request) => request.election));

describe("waiting: hints", () => {
  it("P10: a hint claims that one election at once; `null` all of them, in one request", async () => {
    const on = stage();
    await waiters(on, ["a", "b", "c"]);
    on.store.session.events.hint("b");
    await settle();
    on.store.session.events.hint(null);
    await settle();
    on.store.session.events.hint("unknown");
    await settle();
    expect(asked(on)).toEqual([["a", "b", "c"], ["b"], ["a", "b", "c"]]);
  });

  it("a hint while the answer is under way may be newer than the answer: asked again at once", async () => {
    const on = stage();
    const claim = on.store.hold("claim");
    const campaign = watched(on.elect().campaign());
    await claim.asked;
    on.store.session.events.hint(null);
    claim.answer([held()]);
    await settle();
    expect(on.store.of("claim")).toHaveLength(2);
    expect(campaign.state).toBe("resolved");
  });

  it("a hint from before the question is not kept for later", async () => {
    const on = stage();
    await waiters(on, ["a"]);
    on.store.session.events.hint("a");
    await settle();
    await on.clock.advance(ttl * 0.5);
    expect(on.store.of("claim")).toHaveLength(2);
  });

  it("S5: a place in the queue that somebody deleted is taken again", async () => {
    const on = stage();
    await waiters(on, ["a"]);
    const [claim] = on.store.of("claim")[0]?.claims ?? [];
    if (claim !== undefined) on.store.session.events.lost(claim, "deleted by an operator");
    await settle();
    expect(asked(on)).toEqual([["a"], ["a"]]);
    expect(on.store.of("claim")[1]?.claims[0]?.nonce).toBe(claim?.nonce);
  });
});

describe("waiting: the net under the hints", () => {
  it("M9: without any hint, each is asked again about every TTL", async () => {
    const on = stage();
    await waiters(on, ["a"]);
    await on.clock.advance(ttl * 20);
    const at = on.store.of("claim").map((call) => call.at);
    const gaps = at.slice(1).map((time, index) => time - (at[index] ?? NaN));
    expect(gaps.length).toBeGreaterThanOrEqual(18);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(ttl * 0.9);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(ttl * 1.1);
  });

  it("P11: those that are nearly due go together: 1,000 waiters do not make 1,000 requests", async () => {
    const on = stage();
    const names = Array.from({ length: 1_000 }, (_, index) => `e${index}`);
    await waiters(on, names);
    await on.clock.advance(ttl * 5);
    const requests = on.store.of("claim").length;
    expect(requests).toBeGreaterThan(5);
    // Each wakes all that are due within 2 % of the TTL.
    expect(requests).toBeLessThanOrEqual(5 * 50);
  });

  it("P11: where more wait than the net takes in a TTL, they come by turns: waiting for 1,000 costs what 48 cost", async () => {
    const on = stage();
    const names = Array.from({ length: 1_000 }, (_, index) => `e${index}`);
    await waiters(on, names);
    // The first turn begins with the first answer, so that it is shorter for some.
    await on.clock.advance(ttl * 25);
    const claims = (from: number, to: number): string[] =>
      on.store
        .of("claim")
        .filter(({ at }) => at > from && at <= to)
        .flatMap(({ requests }) => requests.map(({ election }) => election));
    const before = on.clock.now();
    await on.clock.advance(ttl * 25);
    const made = claims(before, on.clock.now());
    expect(made.length / 25).toBeLessThan(48 * 1.2);
    // Nobody is forgotten.
    expect(new Set(made).size).toBe(1_000);
    // Those that are nearly due go together.
    expect(on.store.of("claim").filter(({ at }) => at > before).length).toBeLessThan(made.length / 5);
  });

  it("when the store says when, it is asked then", async () => {
    const on = stage();
    await waiters(on, ["a"], held({ retryInMs: 250 }));
    await on.clock.advance(249);
    expect(on.store.of("claim")).toHaveLength(1);
    await on.clock.advance(1);
    expect(on.store.of("claim")).toHaveLength(2);
  });

  it("several that wait for different times are each asked in time", async () => {
    const on = stage();
    const wait: Record<string, number> = { a: 900, b: 100, c: 500 };
    on.store.answers.claim = async (requests) =>
      requests.map(({ election }) => held({ retryInMs: wait[election] ?? null }));
    for (const name of ["a", "b", "c"]) void on.elect(name).campaign();
    await on.clock.advance(899);
    const times = (name: string): number[] =>
      on.store
        .of("claim")
        .filter((call) => call.requests.some((request) => request.election === name))
        .map((call) => call.at);
    expect(times("b").slice(1, 4)).toEqual([100, 200, 300]);
    expect(times("c").slice(1)).toEqual([500]);
    expect(times("a").slice(1)).toEqual([]);
    await on.clock.advance(1);
    expect(times("a").slice(1)).toEqual([900]);
  });

  it("leaves no timer when nobody waits any more", async () => {
    const on = stage();
    on.store.terms.poll = { everyMs: 25, look: () => [] };
    const stop = new AbortController();
    on.store.answers.claim = async () => [held()];
    const election = on.elect();
    void watched(election.campaign({ signal: stop.signal }));
    await on.clock.advance(100);
    stop.abort(new Error("enough"));
    await settle();
    // The session's next proof.
    expect(on.clock.timers).toBe(1);
    await election.close();
    expect(on.clock.timers).toBe(0);
  });
});

describe("waiting: stores that cannot push", () => {
  it("are looked at as often as they ask for, with those that wait; only what is worth it is claimed", async () => {
    const on = stage();
    const looks: string[][] = [];
    let worth: "all" | string[] = [];
    on.store.terms.poll = {
      everyMs: 25,
      look: (waiting) => {
        looks.push([...waiting.values()].map((claim) => claim.election));
        return worth;
      },
    };
    await waiters(on, ["a", "b"]);
    await on.clock.advance(100);
    expect(looks).toEqual(Array(4).fill(["a", "b"]));
    expect(on.store.of("claim")).toHaveLength(1);
    worth = ["b"];
    await on.clock.advance(25);
    worth = "all";
    await on.clock.advance(25);
    worth = [];
    await on.clock.advance(100);
    expect(asked(on)).toEqual([["a", "b"], ["b"], ["a", "b"]]);
  });

  it("a look that throws is trouble, and looking goes on", async () => {
    const on = stage();
    let looks = 0;
    on.store.terms.poll = {
      everyMs: 25,
      look: () => {
        looks += 1;
        throw new Error("the file is gone");
      },
    };
    on.store.answers.claim = async () => [held()];
    const election = on.elect();
    const troubles: unknown[] = [];
    election.on("trouble", ({ error }) => void troubles.push(error));
    void election.campaign();
    await on.clock.advance(250);
    expect(looks).toBe(10);
    expect(troubles[0]).toEqual(new Error("the file is gone"));
  });

  it("nothing is looked at while nobody waits", async () => {
    const on = stage();
    let looks = 0;
    on.store.terms.poll = { everyMs: 25, look: () => (looks++, []) };
    await on.elect().campaign();
    await on.clock.advance(1_000);
    expect(looks).toBe(0);
  });
});

describe("C2: patience, where the server's clock cannot judge the holder", () => {
  const leaseMs = 2_000;
  const unchanged = (on: Stage): (string | null)[] =>
    on.store.of("claim").map((call) => call.requests[0]?.unchanged ?? null);

  it("a version that stayed the same for the lease and the drift, by our own clock, may be taken over", async () => {
    const on = stage();
    await waiters(on, ["a"], held({ patience: { version: "v1", leaseMs } }));
    await on.clock.advance(leaseMs * 1.01 - 1);
    expect(unchanged(on)).toEqual([null]);
    on.store.answers.claim = async () => [granted(1n)];
    await on.clock.advance(1);
    expect(unchanged(on)).toEqual([null, "v1"]);
  });

  it("each renewal starts the wait anew", async () => {
    const on = stage();
    let version = 0;
    on.store.answers.claim = async () => [
      held({ retryInMs: 500, patience: { version: `v${Math.floor(version++ / 3)}`, leaseMs } }),
    ];
    void on.elect("a").campaign();
    await on.clock.advance(20_000);
    expect(on.store.of("claim").length).toBeGreaterThan(30);
    expect(new Set(unchanged(on))).toEqual(new Set([null]));
  });

  it("hints do not shorten it", async () => {
    const on = stage();
    await waiters(on, ["a"], held({ patience: { version: "v1", leaseMs } }));
    for (let hint = 0; hint < 10; hint++) {
      await on.clock.advance(200);
      on.store.session.events.hint("a");
      await settle();
    }
    expect(new Set(unchanged(on))).toEqual(new Set([null]));
    await on.clock.advance(20);
    expect(unchanged(on).at(-1)).toBe("v1");
  });

  it("it goes on over the end of our own session", async () => {
    const on = stage();
    await waiters(on, ["a"], held({ patience: { version: "v1", leaseMs } }));
    await on.clock.advance(1_900);
    on.store.session.events.ended("over");
    await on.clock.advance(200);
    expect(on.store.sessions).toHaveLength(2);
    expect(unchanged(on).at(-1)).toBe("v1");
  });

  it("P11: a store that still says no does not make us ask without pause", async () => {
    const on = stage();
    await waiters(on, ["a"], held({ patience: { version: "v1", leaseMs } }));
    await on.clock.advance(leaseMs * 1.01);
    const before = on.store.of("claim").length;
    let rounds = 0;
    const { claim } = on.store.answers;
    on.store.answers.claim = async (...asked) => {
      if (++rounds > 500) throw new Error("asked 500 times in one second");
      return claim(...asked);
    };
    await on.clock.advance(1_000);
    expect(on.store.of("claim").length - before).toBeLessThan(20);
  });
});
