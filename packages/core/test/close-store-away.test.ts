import { describe, expect, it } from "vitest";

import { failure, held, silence } from "./kit/scripted-store.ts";
import { elected, settle, stage, ttl, watched, type Stage } from "./kit/stage.ts";

const drainTimeout = 5_000;

/** Closes, and lets time pass until that has settled. Answers with how long it took. */
async function closed(on: Stage, closing: Promise<unknown>, atMost: number): Promise<number> {
  const seen = watched(closing);
  const begun = on.clock.now();
  await settle();
  while (seen.state === "pending" && on.clock.now() - begun < atMost) await on.clock.advance(50);
  expect(seen.state).toBe("resolved");
  return on.clock.now() - begun;
}

describe("close() where the store hangs or fails", () => {
  const states = ["waiting", "leading", "uncertain", "claiming"] as const;
  it.each(states)("G-11: a store that never answers again, %s: bounded, no timer left", async (state) => {
    const on = stage();
    if (state === "waiting") on.store.answers.claim = async () => [held()];
    if (state === "claiming") on.store.answers.claim = silence;
    const election = on.elect("report", { drainTimeout });
    const campaign = watched(election.campaign());
    await settle();
    Object.assign(on.store.answers, { prove: silence, release: silence, dispose: silence, end: silence });
    if (state === "uncertain") await on.clock.advance(ttl * 0.6);
    if (state === "leading" || state === "uncertain") void campaign.value?.resign();
    const took = await closed(on, election.close(), 60_000);
    expect(took).toBeLessThanOrEqual(2_000 + ttl / 6 + ttl / 2 + 50);
    expect(on.store.session.abandoned).toBe(true);
    expect(on.clock.timers).toBe(0);
  });

  it("G-11: the same with a TTL of an hour: not longer", async () => {
    const on = stage();
    const hour = 3_600_000;
    const election = on.elect("report", { ttl: hour });
    const term = await elected(on, election);
    on.store.answers.prove = silence;
    await on.clock.advance(hour * 0.37);
    Object.assign(on.store.answers, { release: silence, end: silence });
    void term.resign();
    const took = await closed(on, election.close(), hour);
    expect(took).toBeLessThanOrEqual(15_000);
    expect(on.clock.timers).toBe(0);
  });

  it("P12: a record that could not be given back remains, until the store ends it by itself", async () => {
    const on = stage();
    const election = on.elect("report", { id: "me" });
    const term = await elected(on, election);
    Object.assign(on.store.answers, { prove: failure, release: failure, end: failure });
    void term.resign();
    const closing = watched(election.close());
    await on.clock.advance(10_000);
    const [remainder, ...others] = closing.value?.remains ?? [];
    expect(others).toEqual([]);
    expect(remainder).toMatchObject({
      election: "report",
      candidate: "me",
      token: 1n,
      because: "store-unreachable",
    });
    expect(remainder?.forMs).toBeGreaterThan(0);
    expect(remainder?.forMs).toBeLessThanOrEqual(ttl);
  });

  it("P12: so does a place in the queue, without a token", async () => {
    const on = stage();
    on.store.answers.claim = async () => [held()];
    const election = on.elect("report", { id: "me" });
    void watched(election.campaign());
    await settle();
    Object.assign(on.store.answers, { release: silence, end: silence });
    const closing = watched(election.close());
    await on.clock.advance(10_000);
    expect(closing.value?.remains).toMatchObject([{ token: null, because: "store-unreachable" }]);
  });

  it("P12: and so does the record of a term that ran out, for as long as the store may keep it", async () => {
    const on = stage();
    const election = on.elect("report");
    const term = await elected(on, election);
    Object.assign(on.store.answers, { prove: silence, open: silence });
    await on.clock.advance(ttl * 0.95);
    expect(term.isValid()).toBe(false);
    const report = await election.close();
    expect(report.remains).toMatchObject([{ token: 1n, because: "store-unreachable" }]);
    expect(report.remains[0]?.forMs).toBeLessThanOrEqual(ttl);
    expect(on.clock.timers).toBe(0);
  });

  it("nothing remains when the session was ended all the same", async () => {
    const on = stage();
    const election = on.elect("report");
    const term = await elected(on, election);
    on.store.answers.release = failure;
    void term.resign();
    const closing = watched(election.close());
    await on.clock.advance(10_000);
    expect(on.store.of("end")).toHaveLength(1);
    expect(closing.value).toEqual({ remains: [] });
    expect(on.clock.timers).toBe(0);
  });
});
