import { describe, expect, it } from "vitest";

import { RefusedError } from "../src/errors.ts";
import type { SessionEvents } from "../src/port.ts";
import { alive, failure } from "./kit/scripted-store.ts";
import { elected, journal, settle, stage, ttl, watched } from "./kit/stage.ts";

describe("the session: its end", () => {
  it("P3: a definite end loses the term at once", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    const { signal } = await elected(on, election);
    on.store.session.events.ended("an operator ended it");
    expect(signal.aborted).toBe(true);
    expect(says.at(-1)).toBe("lost 1 session-ended");
  });

  it("a proof that finds it dead loses the term at once", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    await elected(on, election);
    on.store.answers.prove = async () => ({ kind: "dead", reason: "the lease ran out" });
    await on.clock.advance(ttl * 0.37);
    expect(says.filter((line) => line.startsWith("lost"))).toEqual(["lost 1 session-ended"]);
  });

  it("S5: a proof that finds one record gone loses that term only", async () => {
    const on = stage();
    const [one, other] = [on.elect("one"), on.elect("other")];
    const says = journal(one);
    await elected(on, one);
    const kept = await elected(on, other);
    on.store.answers.prove = async (held) =>
      alive(
        ttl,
        [...held.values()].filter((claim) => claim.election === "one"),
      );
    await on.clock.advance(ttl * 0.37);
    expect(says.filter((line) => line.startsWith("lost"))).toEqual(["lost 1 record-lost"]);
    expect(kept.isValid()).toBe(true);
  });

  it("losing the session loses all its terms, and what waited is claimed again in the next session", async () => {
    const on = stage();
    const says = ["a", "b"].map((name) => {
      const election = on.elect(name);
      void election.campaign();
      return journal(election);
    });
    await settle();
    on.store.answers.claim = async (requests) =>
      requests.map(() => ({ kind: "held", by: null, retryInMs: null, patience: null }));
    const waiting = on.elect("c");
    const campaign = watched(waiting.campaign());
    await settle();
    on.store.answers.claim = async () => [{ kind: "granted", token: 9n }];
    on.store.session.events.ended("over");
    await on.clock.advance(0);
    expect(says.map((lines) => lines.filter((line) => line.startsWith("lost")).length)).toEqual([1, 1]);
    expect(on.store.sessions).toHaveLength(2);
    expect(campaign.value?.token).toBe(9n);
  });

  it("what an older session still says is ignored", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    await (await elected(on, election)).resign();
    const old = on.store.session.events;
    old.ended("over");
    await elected(on, election);
    expect(on.store.sessions).toHaveLength(2);
    const before = says.length;
    const calls = on.store.calls.length;
    const claim = { election: election.name, nonce: on.store.of("claim").at(-1)?.claims[0]?.nonce ?? "" };
    const late: [keyof SessionEvents, ...unknown[]][] = [
      ["ended", "again"],
      ["doubt", new Error("old socket")],
      ["lost", claim, "old news"],
      ["hint", null],
    ];
    for (const [name, ...facts] of late) (old[name] as (...facts: unknown[]) => void)(...facts);
    await settle();
    expect(says).toHaveLength(before);
    expect(on.store.calls).toHaveLength(calls);
  });

  it("an answer of an older session is ignored: its proof extends nothing", async () => {
    const on = stage();
    const election = on.elect();
    const term = await elected(on, election);
    const proof = on.store.hold("prove");
    await on.clock.advance(ttl * 0.37);
    on.store.session.events.ended("over");
    const again = elected(on, election);
    const second = await again;
    const remaining = second.remaining();
    proof.answer(alive(3_600_000));
    await settle();
    expect(second.remaining()).toBe(remaining);
    expect(term.isValid()).toBe(false);
  });
});

describe("the session: its beginning", () => {
  it("G-21: a store that is away is tried for ever, with growing jittered pauses that stay bounded", async () => {
    const on = stage();
    on.store.answers.open = failure;
    const campaign = watched(on.elect().campaign());
    await on.clock.advance(3_600_000);
    const tries = on.store.of("open").map((call) => call.at);
    const gaps = tries.slice(1).map((at, index) => at - (tries[index] ?? NaN));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5_000);
    expect(Math.min(...gaps.slice(-100))).toBeGreaterThanOrEqual(ttl / 2);
    expect(new Set(gaps.slice(-100).map(Math.round)).size).toBeGreaterThan(20);
    expect(on.clock.timers).toBe(1);
    on.store.answers.open = async () => {};
    await on.clock.advance(5_000);
    expect(campaign.state).toBe("resolved");
  });

  it("P13: refused the first time, the campaign rejects; nothing is tried again", async () => {
    const on = stage();
    const refusal = new RefusedError("standby", "host:1 is a standby");
    on.store.hold("open").fail(refusal);
    const election = on.elect();
    const campaign = watched(election.campaign());
    await on.clock.advance(60_000);
    expect(campaign.reason).toBe(refusal);
    expect(election.state).toBe("idle");
    expect(on.store.of("open")).toHaveLength(1);
    // Somebody changed something: a new campaign asks again.
    expect(await election.campaign()).toMatchObject({ token: 1n });
  });

  it("refused later, when it had been let in before (a fail-over), it is tried again", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    await elected(on, election);
    for (let refusals = 0; refusals < 5; refusals++)
      on.store.hold("open").fail(new RefusedError("standby", "host:1 is a standby"));
    on.store.session.events.ended("the server went away");
    const campaign = watched(election.campaign());
    await on.clock.advance(ttl);
    expect(on.store.of("open")).toHaveLength(7);
    expect(campaign.value?.token).toBe(2n);
    expect(says).toContain("trouble host:1 is a standby");
  });

  it("a session that opened too late is let go of, and another is opened", async () => {
    const on = stage();
    const late = on.store.hold("open");
    const campaign = watched(on.elect().campaign());
    await on.clock.advance(2_000);
    expect(campaign.state).toBe("resolved");
    late.answer(undefined);
    await settle();
    expect(on.store.sessions.map((session) => session.abandoned)).toEqual([false, true]);
  });
});
