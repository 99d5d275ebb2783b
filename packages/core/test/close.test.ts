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
    const keeping = keepingAlive(on);
    const election = on.elect("report", { drainTimeout });
    void watched(election.run(() => silence()));
    await settle();
    const closing = watched(election.close());
    await on.clock.advance(drainTimeout);
    expect(closing.state).toBe("resolved");
    expect(on.clock.timers).toBeGreaterThan(0);
    expect(keeping.size).toBe(0);
    await on.clock.advance(ttl * 2);
    expect(keeping.size).toBe(0);
  });

  it("but does for the other elections of the session, those that came before and those that come after", async () => {
    const on = stage();
    const keeping = keepingAlive(on);
    const before = on.elect("before");
    const first = await elected(on, before);
    const election = on.elect("report", { drainTimeout });
    void watched(election.run(() => silence()));
    await settle();
    void election.close();
    await on.clock.advance(drainTimeout + ttl);
    expect(keeping.size).toBe(1);
    await first.resign();
    await before.close();
    await on.clock.advance(ttl);
    expect(keeping.size).toBe(0);
    await elected(on, on.elect("after"));
    expect(keeping.size).toBe(1);
    expect(on.store.sessions).toHaveLength(1);
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

/** The timers that are set now and keep the process alive. */
function keepingAlive(on: Stage): ReadonlySet<object> {
  const keeping = new Set<object>();
  const { timer } = on.clock;
  on.clock.timer = (ms, fire) => {
    const handle = timer.call(on.clock, ms, () => {
      keeping.delete(handle);
      fire();
    });
    keeping.add(handle);
    return {
      cancel: () => {
        keeping.delete(handle);
        handle.cancel();
      },
      unref: () => void keeping.delete(handle),
    };
  };
  return keeping;
}
