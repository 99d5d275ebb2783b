import { describe, expect, it } from "vitest";

import { failure, type Operation } from "./kit/scripted-store.ts";
import { elected, journal, settle, stage, ttl, watched, type Stage } from "./kit/stage.ts";

const drainTimeout = 5_000;

/** A term that was told to stop, and whose work does not. */
async function draining(on: Stage) {
  const stop = new AbortController();
  const work = Promise.withResolvers<void>();
  const election = on.elect("report", { drainTimeout });
  const says = journal(election);
  const run = watched(election.run(() => work.promise, { signal: stop.signal }));
  await on.clock.advance(0);
  stop.abort("enough");
  await settle();
  return { election, work, says, run };
}

const overdue = (says: readonly string[]): string[] => says.filter((line) => line.startsWith("overdue"));

describe("P6: draining", () => {
  it("the session goes on being proven, and the term valid, for as long as the work takes", async () => {
    const on = stage();
    const { election, work } = await draining(on);
    const before = on.store.of("prove").length;
    await on.clock.advance(ttl * 20);
    expect(on.store.of("prove").length - before).toBeGreaterThanOrEqual(18);
    expect(election.state).toBe("draining");
    expect(on.store.of("release")).toEqual([]);
    work.resolve();
    await settle();
    expect(on.store.of("release")).toHaveLength(1);
    expect(election.state).toBe("idle");
  });

  it("work that outlives drainTimeout is reported once, and nothing is released under it", async () => {
    const on = stage();
    const { says, work } = await draining(on);
    await on.clock.advance(drainTimeout - 1);
    expect(overdue(says)).toEqual([]);
    await on.clock.advance(1);
    expect(overdue(says)).toEqual(["overdue 1"]);
    await on.clock.advance(drainTimeout * 10);
    expect(overdue(says)).toEqual(["overdue 1"]);
    expect(givenBack(on)).toEqual([]);
    work.resolve();
    await settle();
    expect(says.slice(-2)).toEqual(["lost 1 aborted", "draining > idle"]);
  });

  it("work that stops in time is not reported", async () => {
    const on = stage();
    const { says, work } = await draining(on);
    await on.clock.advance(drainTimeout - 1);
    work.resolve();
    await on.clock.advance(drainTimeout * 3);
    expect(overdue(says)).toEqual([]);
  });

  it("work that goes on after its term was lost is reported too", async () => {
    const on = stage();
    const work = Promise.withResolvers<void>();
    const election = on.elect("report", { drainTimeout });
    const says = journal(election);
    void watched(election.run(() => work.promise));
    await on.clock.advance(0);
    on.store.session.events.ended("over");
    await on.clock.advance(drainTimeout * 3);
    expect(overdue(says)).toEqual(["overdue 1"]);
    work.resolve();
    await on.clock.advance(0);
    expect(says).toContain("elected 2");
  });

  it("the time to drain is not begun anew by the loss of a term that is draining", async () => {
    const on = stage();
    const { says } = await draining(on);
    await on.clock.advance(drainTimeout - 10);
    on.store.session.events.ended("over");
    await on.clock.advance(10);
    expect(overdue(says)).toEqual(["overdue 1"]);
    await on.clock.advance(drainTimeout * 3);
    expect(overdue(says)).toEqual(["overdue 1"]);
  });

  it("a term that runs out while draining ends as expired; work goes on and is waited for", async () => {
    const on = stage();
    const { election, says, run, work } = await draining(on);
    on.store.answers.prove = failure;
    await on.clock.advance(ttl);
    expect(says).toContain("lost 1 expired");
    expect(election.state).toBe("idle");
    expect(run.state).toBe("pending");
    expect(givenBack(on)).toEqual([]);
    work.resolve();
    await on.clock.advance(0);
    expect(run.reason).toBe("enough");
  });

  it("a term by hand that has ended by itself is not overdue: there is no work to wait for", async () => {
    const on = stage();
    const election = on.elect("report", { drainTimeout });
    const says = journal(election);
    await elected(on, election);
    on.store.session.events.ended("over");
    await on.clock.advance(drainTimeout * 3);
    expect(overdue(says)).toEqual([]);
  });
});

function givenBack(on: Stage): Operation[] {
  return on.store.operations.filter((operation) => ["release", "dispose", "end"].includes(operation));
}
