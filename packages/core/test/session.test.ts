import { describe, expect, it } from "vitest";

import { alive, failure, silence } from "./kit/scripted-store.ts";
import { elected, journal, settle, stage, ttl, validFor } from "./kit/stage.ts";

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
