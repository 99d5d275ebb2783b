import { describe, expect, it } from "vitest";

import { failure, held, silence } from "./kit/scripted-store.ts";
import { elected, journal, settle, stage, ttl, watched, type Stage } from "./kit/stage.ts";

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

describe("G-11: close() settles in every state, says what remains, and leaves no timer", () => {
  it("idle: at once, without a word to the store", async () => {
    const on = stage();
    const election = on.elect();
    expect(await election.close()).toEqual({ remains: [] });
    expect(on.store.calls).toEqual([]);
    expect(election.state).toBe("closed");
    expect(on.clock.timers).toBe(0);
  });

  it("while the session is being opened: at once", async () => {
    const on = stage();
    const open = on.store.hold("open");
    const election = on.elect();
    const campaign = watched(election.campaign());
    await open.asked;
    expect(await election.close()).toEqual({ remains: [] });
    expect(campaign.reason).toMatchObject({ code: "ELECT_CLOSED" });
    expect(on.clock.timers).toBe(0);
  });

  it("between two tries to open it: at once", async () => {
    const on = stage();
    on.store.answers.open = failure;
    const election = on.elect();
    void watched(election.campaign());
    await on.clock.advance(1_234);
    expect(await election.close()).toEqual({ remains: [] });
    expect(on.clock.timers).toBe(0);
  });

  it("waiting: leaves the queue, then ends the session", async () => {
    const on = stage();
    on.store.answers.claim = async () => [held()];
    const election = on.elect();
    void watched(election.campaign());
    await settle();
    expect(await election.close()).toEqual({ remains: [] });
    expect(on.store.operations).toEqual(["open", "claim", "release", "end"]);
    expect(on.clock.timers).toBe(0);
  });

  it("after resigning: ends the session", async () => {
    const on = stage();
    const election = on.elect();
    await (await elected(on, election)).resign();
    expect(await election.close()).toEqual({ remains: [] });
    expect(on.store.operations).toEqual(["open", "claim", "release", "end"]);
    expect(on.clock.timers).toBe(0);
  });

  it("leading: waits for the work, gives back, ends the session", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    void watched(election.run(({ signal }) => new Promise((done) => (signal.onabort = done))));
    await settle();
    expect(await election.close()).toEqual({ remains: [] });
    expect(says.slice(-3)).toEqual(["leading > draining", "lost 1 closed", "draining > closed"]);
    expect(on.store.operations).toEqual(["open", "claim", "release", "end"]);
    expect(on.clock.timers).toBe(0);
  });

  it("twice: the same answer; and in between, `await using`", async () => {
    const on = stage();
    await using election = on.elect();
    await (await elected(on, election)).resign();
    const [first, second] = [election.close(), election.close()];
    expect(await first).toBe(await second);
    expect(on.store.of("end")).toHaveLength(1);
  });

  it("one of several on a session: the session lives until the last is closed", async () => {
    const on = stage();
    const [one, other] = [on.elect("one"), on.elect("other")];
    await (await elected(on, one)).resign();
    const term = await elected(on, other);
    await one.close();
    expect(on.store.of("end")).toEqual([]);
    expect(term.isValid()).toBe(true);
    await term.resign();
    await other.close();
    expect(on.store.of("end")).toHaveLength(1);
    expect(on.clock.timers).toBe(0);
  });
});

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

describe("G-12: close() and work that does not stop", () => {
  it("settles after drainTimeout and says what remains; nothing is released under the work", async () => {
    const on = stage();
    const election = on.elect("report", { id: "me", drainTimeout });
    const work = Promise.withResolvers<void>();
    const run = watched(election.run(() => work.promise));
    await settle();
    const closing = watched(election.close());
    await on.clock.advance(drainTimeout - 1);
    expect(closing.state).toBe("pending");
    await on.clock.advance(1);
    expect(closing.value).toEqual({
      remains: [{ election: "report", candidate: "me", token: 1n, because: "work-running", forMs: Infinity }],
    });
    const proofs = on.store.of("prove").length;
    await on.clock.advance(ttl * 10);
    expect(on.store.of("prove").length).toBeGreaterThan(proofs + 8);
    expect(on.store.of("release")).toEqual([]);

    work.resolve();
    await settle();
    expect(on.store.operations.slice(-2)).toEqual(["release", "end"]);
    expect(run.reason).toMatchObject({ code: "ELECT_CLOSED" });
    expect(election.state).toBe("closed");
    expect(on.clock.timers).toBe(0);
  });

  it("a term by hand that is not resigned in time remains, until it is", async () => {
    const on = stage();
    const election = on.elect("report", { drainTimeout });
    const term = await elected(on, election);
    const closing = watched(election.close());
    await on.clock.advance(drainTimeout);
    expect(closing.value?.remains).toMatchObject([{ because: "work-running" }]);
    expect(term.isValid()).toBe(true);
    await term.resign();
    await settle();
    expect(on.store.operations.slice(-2)).toEqual(["release", "end"]);
    expect(on.clock.timers).toBe(0);
  });

  it("work that goes on under a term that was lost long ago: nothing remains in the store", async () => {
    const on = stage();
    const election = on.elect("report", { drainTimeout });
    const work = Promise.withResolvers<void>();
    void watched(election.run(() => work.promise));
    await settle();
    on.store.session.events.ended("over");
    const closing = watched(election.close());
    await on.clock.advance(drainTimeout + 50);
    expect(closing.value).toEqual({ remains: [] });
    work.resolve();
    await settle();
    expect(on.clock.timers).toBe(0);
  });

  it("does not keep the process alive for work that is still running", async () => {
    const on = stage();
    const kept = new Set<object>();
    const { timer } = on.clock;
    on.clock.timer = (ms, fire) => {
      const handle = timer.call(on.clock, ms, () => {
        kept.delete(handle);
        fire();
      });
      kept.add(handle);
      return {
        cancel: () => {
          kept.delete(handle);
          handle.cancel();
        },
        unref: () => void kept.delete(handle),
      };
    };
    const election = on.elect("report", { drainTimeout });
    void watched(election.run(() => silence()));
    await settle();
    const closing = watched(election.close());
    await on.clock.advance(drainTimeout);
    expect(closing.state).toBe("resolved");
    expect(on.clock.timers).toBeGreaterThan(0);
    expect(kept.size).toBe(0);
    await on.clock.advance(ttl * 2);
    expect(kept.size).toBe(0);
  });
});

describe("backend.close()", () => {
  it("closes its elections, then lets go of the store, once", async () => {
    const on = stage();
    const elections = ["a", "b", "c"].map((name) => on.elect(name));
    for (const election of elections) void watched(election.run(({ signal }) => stopped(signal)));
    await settle();
    await Promise.all([on.backend.close(), on.backend.close()]);
    expect(elections.map((election) => election.state)).toEqual(["closed", "closed", "closed"]);
    expect(on.store.operations.slice(-2)).toEqual(["end", "close"]);
    expect(on.clock.timers).toBe(0);
  });

  it("settles although the store hangs", async () => {
    const on = stage();
    Object.assign(on.store.answers, { close: silence, end: silence });
    const election = on.elect();
    void watched(election.run(({ signal }) => stopped(signal)));
    await settle();
    await closed(on, on.backend.close(), 5_000);
    expect(on.clock.timers).toBe(0);
  });

  it("does not reject when the store fails", async () => {
    const on = stage();
    Object.assign(on.store.answers, { close: failure, end: failure });
    void watched(on.elect().campaign());
    await settle();
    await using _backend = on.backend;
    void on.clock.advance(60_000);
  });
});

function stopped(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    signal.addEventListener("abort", () => done(), { once: true });
  });
}
