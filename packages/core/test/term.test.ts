import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { NotLeaderError } from "../src/errors.ts";
import { fence } from "../src/term.ts";
import { failure } from "./kit/scripted-store.ts";
import { elected, journal, settle, stage, ttl, validFor } from "./kit/stage.ts";

describe("G-1, G-2: in the first statement after a stall, before any timer could run", () => {
  it("isValid() says no", async () => {
    const on = stage();
    const term = await elected(on, on.elect());
    on.clock.freeze(validFor);
    expect(term.isValid()).toBe(false);
  });

  it("assertValid() throws", async () => {
    const on = stage();
    const term = await elected(on, on.elect());
    term.assertValid();
    on.clock.freeze(validFor);
    expect(() => term.assertValid()).toThrow(NotLeaderError);
    expect(() => term.assertValid()).toThrow(/\(expired: /);
  });

  it("remaining() is 0", async () => {
    const on = stage();
    const term = await elected(on, on.elect());
    expect(term.remaining()).toBe(validFor);
    on.clock.freeze(1_000);
    expect(term.remaining()).toBe(validFor - 1_000);
    on.clock.freeze(ttl * 3);
    expect(term.remaining()).toBe(0);
  });

  it("the signal is aborted when it is looked at", async () => {
    const on = stage();
    const term = await elected(on, on.elect());
    on.clock.freeze(validFor);
    expect(term.signal.aborted).toBe(true);
    expect(term.signal.reason).toMatchObject({ code: "ELECT_NOT_LEADER", reason: "expired" });
  });

  it("a signal taken before the stall is aborted by the first look at anything", async () => {
    const on = stage();
    const election = on.elect();
    const { signal } = await elected(on, election);
    on.clock.freeze(validFor);
    expect(signal.aborted).toBe(false);
    expect(election.state).toBe("idle");
    expect(signal.aborted).toBe(true);
  });

  it("a stall that ends just before the deadline changes nothing", async () => {
    const on = stage();
    const term = await elected(on, on.elect());
    on.clock.freeze(validFor - 0.001);
    expect(term.isValid()).toBe(true);
    await on.clock.advance(0);
    // The overdue proof was acknowledged.
    expect(term.remaining()).toBe(validFor);
  });

  it("G-8: the answer to a proof that was under way during the stall does not bring the term back", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    const term = await elected(on, election);
    on.store.answers.prove = failure;
    await on.clock.advance(validFor - 450);
    const proof = on.store.hold("prove");
    await on.clock.advance(440);
    // Sent so late that it would count beyond the stall.
    expect((await proof.asked).at).toBeGreaterThan(validFor - 450);
    on.clock.freeze(100);
    proof.answer({ kind: "alive", ttlMs: ttl, covers: "all", lost: [] });
    await settle();
    expect(term.isValid()).toBe(false);
    expect(says.filter((line) => line.includes("lost"))).toEqual(["lost 1 expired"]);
  });
});

describe("a term", () => {
  it("is moved on by each acknowledged proof, to the proof's sending and the lease from there", async () => {
    const on = stage();
    const term = await elected(on, on.elect());
    await on.clock.advance(ttl * 20);
    expect(term.isValid()).toBe(true);
    const sentAt = on.store.of("prove").at(-1)?.at ?? NaN;
    expect(term.remaining()).toBeCloseTo(sentAt + validFor - on.clock.now(), 6);
  });

  it("does not come back, nor speak for its successor, once it is over", async () => {
    const on = stage();
    const election = on.elect();
    const first = await elected(on, election);
    await first.resign();
    const second = await elected(on, election);
    expect([first.isValid(), first.remaining(), first.signal.aborted]).toEqual([false, 0, true]);
    expect([second.isValid(), second.signal.aborted]).toEqual([true, false]);
    await first.resign();
    expect(second.isValid()).toBe(true);
  });

  it("is resigned at the end of `await using`, once", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    {
      await using term = await elected(on, election);
      expect(term.isValid()).toBe(true);
    }
    expect(says.filter((line) => line.startsWith("lost"))).toEqual(["lost 1 resigned"]);
    expect(on.store.of("release")).toHaveLength(1);
    expect(election.state).toBe("idle");
  });

  it("checks cost no I/O and set no timer", async () => {
    const on = stage();
    const term = await elected(on, on.elect());
    const [calls, timers] = [on.store.calls.length, on.clock.timers];
    for (let check = 0; check < 1_000; check++) term.assertValid();
    expect([on.store.calls.length, on.clock.timers]).toEqual([calls, timers]);
  });
});

describe("term.fence", () => {
  it("is generation and token, of fixed width", async () => {
    const on = stage();
    on.store.answers.claim = async () => [{ kind: "granted", token: 42n }];
    expect((await elected(on, on.elect("a", { generation: 7 }))).fence).toBe(
      "0000000007.0000000000000000042",
    );
    expect(fence(9_999_999_999, 2n ** 63n - 1n)).toBe("9999999999.9223372036854775807");
  });

  it("sorts like (generation, token)", () => {
    const pair = fc.tuple(fc.nat({ max: 9_999_999_999 }), fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }));
    fc.assert(
      fc.property(pair, pair, (a, b) => {
        const byPair = a[0] === b[0] ? Number(a[1] > b[1]) - Number(a[1] < b[1]) : Math.sign(a[0] - b[0]);
        const [one, other] = [fence(...a), fence(...b)];
        expect(Number(one > other) - Number(one < other)).toBe(byPair);
        expect(one).toHaveLength(30);
      }),
    );
  });
});
