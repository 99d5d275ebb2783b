import { describe, expect, it } from "vitest";

import { RefusedError } from "../src/errors.ts";
import type { SessionEvents } from "../src/port.ts";
import { alive, failure, silence } from "./kit/scripted-store.ts";
import { elected, journal, settle, stage, ttl, validFor, watched } from "./kit/stage.ts";

describe("the session: proofs", () => {
  it("C7: is proven every third of the TTL, a tenth earlier or later, never in step with others", async () => {
    const gaps: number[] = [];
    for (let seed = 1; seed <= 10; seed++) {
      const on = stage(seed);
      await elected(on, on.elect());
      await on.clock.advance(ttl * 30);
      const sent = [on.store.of("open"), on.store.of("prove")].flat().map((call) => call.at);
      gaps.push(...sent.slice(1).map((at, index) => at - (sent[index] ?? NaN)));
    }
    expect(gaps.length).toBeGreaterThan(800);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual((ttl / 3) * 0.9);
    expect(Math.max(...gaps)).toBeLessThanOrEqual((ttl / 3) * 1.1);
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeGreaterThan((ttl / 3) * 0.19);
  });

  it("P11, G-14: one session and one proof for 1,000 elections, and a proof names all that it holds", async () => {
    const on = stage();
    const terms = Array.from({ length: 1_000 }, (_, index) => on.elect(`e${index}`).campaign());
    await on.clock.advance(ttl * 10);
    expect(await Promise.all(terms)).toHaveLength(1_000);
    expect(on.store.of("open")).toHaveLength(1);
    expect(on.store.of("prove").length).toBeLessThanOrEqual(34);
    expect(on.store.of("prove").at(-1)?.claims).toHaveLength(1_000);
  });

  it("elections of another TTL have another session", async () => {
    const on = stage();
    await elected(on, on.elect("a"));
    await elected(on, on.elect("b", { ttl: 2 * ttl }));
    expect(on.store.sessions.map((session) => session.ttlMs)).toEqual([ttl, 2 * ttl]);
  });

  it("P13: a lease longer than asked for is used", async () => {
    const on = stage();
    on.store.terms.ttlMs = 30_000;
    const term = await elected(on, on.elect());
    expect(term.remaining()).toBe(30_000 * 0.94);
    await on.clock.advance(8_900);
    expect(on.store.of("prove")).toHaveLength(0);
    await on.clock.advance(2_200);
    expect(on.store.of("prove")).toHaveLength(1);
  });

  it("a lease that a later proof grants is used, longer or shorter", async () => {
    const on = stage();
    const term = await elected(on, on.elect());
    on.store.answers.prove = async () => alive(10_000);
    await on.clock.advance(ttl * 0.37);
    const sentAt = on.store.of("prove")[0]?.at ?? NaN;
    expect(term.remaining()).toBeCloseTo(sentAt + 9_400 - on.clock.now(), 6);
  });

  it("the margin is counted from the sending: a slow answer shortens what remains", async () => {
    const on = stage();
    const term = await elected(on, on.elect());
    const proof = on.store.hold("prove");
    await on.clock.advance(ttl * 0.37);
    const { at } = await proof.asked;
    await on.clock.advance(100);
    proof.answer(alive(ttl));
    await settle();
    expect(term.remaining()).toBeCloseTo(at + validFor - on.clock.now(), 6);
  });
});

describe("P8: uncertain is a state", () => {
  it("a failed proof deposes nobody; it is tried again, with jitter, at most every eighth of the TTL", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    const term = await elected(on, election);
    on.store.answers.prove = failure;
    await on.clock.advance(ttl * 0.37);
    expect(election.state).toBe("uncertain");
    expect(term.isValid()).toBe(true);
    expect(term.signal.aborted).toBe(false);

    await on.clock.advance(ttl * 0.4);
    const tries = on.store.of("prove").map((call) => call.at);
    const gaps = tries.slice(1).map((at, index) => at - (tries[index] ?? NaN));
    expect(gaps.length).toBeGreaterThan(4);
    expect(gaps.at(-1)).toBeGreaterThan(100);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(ttl / 8);
    expect(says).toContain("leading > uncertain");
    expect(says).toContain("trouble the link broke");
    expect(says.join()).not.toContain("lost");
  });

  it("a reconnect within the budget goes on with the same session and the same term", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    const term = await elected(on, election);
    const { prove } = on.store.answers;
    on.store.answers.prove = failure;
    await on.clock.advance(ttl * 0.8);
    on.store.answers.prove = prove;
    await on.clock.advance(ttl * 2);
    expect(term.isValid()).toBe(true);
    expect(on.store.sessions).toHaveLength(1);
    expect(says.filter((line) => line.includes("uncertain"))).toEqual([
      "leading > uncertain",
      "uncertain > leading",
    ]);
  });

  it("a doubt is cleared by proving at once", async () => {
    const on = stage();
    const election = on.elect();
    await elected(on, election);
    const proof = on.store.hold("prove");
    on.store.session.events.doubt(new Error("socket closed"));
    expect(election.state).toBe("uncertain");
    await settle();
    expect(on.store.of("prove")).toHaveLength(1);
    proof.answer(alive(ttl));
    await settle();
    expect(election.state).toBe("leading");
  });

  it("one hanging proof does not use up the budget: a sixth of the TTL, then another", async () => {
    const on = stage();
    await elected(on, on.elect());
    on.store.answers.prove = silence;
    await on.clock.advance(validFor - 1);
    const sent = on.store.of("prove").map((call) => call.at);
    expect(sent.length).toBeGreaterThanOrEqual(3);
    expect((sent[1] ?? NaN) - (sent[0] ?? NaN)).toBeGreaterThanOrEqual(ttl / 6);
    expect(on.store.of("prove")[0]?.call.signal.aborted).toBe(true);
  });

  it("G-3: at the deadline the term is lost, once, as expired, though the proof still hangs", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    const { signal } = await elected(on, election);
    on.store.answers.prove = silence;
    const lease = validFor;
    await on.clock.advance(lease - 1);
    expect(signal.aborted).toBe(false);
    await on.clock.advance(1);
    expect(signal.aborted).toBe(true);
    await on.clock.advance(ttl * 3);
    expect(says.filter((line) => line.startsWith("lost"))).toEqual(["lost 1 expired"]);
    expect(on.store.sessions[0]?.abandoned).toBe(true);
    expect(on.store.of("end")).toEqual([]);
  });

  it("proof after proof of its deadline, a session whose proofs lag lasts", async () => {
    const on = stage();
    on.store.terms.proofLagMs = ttl / 4;
    const term = await elected(on, on.elect());
    await on.clock.advance(ttl * 20);
    expect(term.isValid()).toBe(true);
    const sent = on.store.of("prove").map((call) => call.at);
    const last = sent.at(-1) ?? NaN;
    const vouched = sent.findLast((at) => at <= last - ttl / 4) ?? NaN;
    expect(term.remaining()).toBeCloseTo(vouched + validFor - on.clock.now(), 6);
  });
});

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
