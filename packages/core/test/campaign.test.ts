import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";

import { BusyError, ClosedError } from "../src/errors.ts";
import { held } from "./kit/scripted-store.ts";
import { elected, journal, settle, stage, ttl, watched } from "./kit/stage.ts";

describe("campaign()", () => {
  it("resolves with the term, of which `elected` was told before", async () => {
    const on = stage();
    const election = on.elect();
    const told: bigint[] = [];
    election.on("elected", ({ term }) => void told.push(term.token));
    const term = await election.campaign();
    expect(told).toEqual([term.token]);
    expect(term.election).toBe("nightly-report");
    expect(election.state).toBe("leading");
  });

  it("rejects with the signal's reason, untouched, when that has aborted already, and asks nothing", async () => {
    const on = stage();
    const reason = { any: "value" };
    await expect(on.elect().campaign({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(on.store.calls).toEqual([]);
  });

  it("rejects with the signal's reason when that aborts while it waits", async () => {
    const on = stage();
    on.store.answers.claim = async () => [held()];
    const stop = new AbortController();
    const election = on.elect();
    const campaign = watched(election.campaign({ signal: stop.signal }));
    await settle();
    stop.abort("enough");
    await settle();
    expect(campaign.reason).toBe("enough");
    expect(election.state).toBe("idle");
  });

  it("the signal ends the waiting only: the term outlives it", async () => {
    const on = stage();
    const stop = new AbortController();
    const term = await on.elect().campaign({ signal: stop.signal });
    stop.abort("later");
    await settle();
    expect(term.isValid()).toBe(true);
    expect(term.signal.aborted).toBe(false);
  });

  it("10,000 campaigns on one signal leave no listener on it, and no timer", async () => {
    const on = stage();
    const { signal } = new AbortController();
    const election = on.elect();
    for (let round = 0; round < 10_000; round++) await (await election.campaign({ signal })).resign();
    expect(getEventListeners(signal, "abort")).toEqual([]);
    expect(on.store.of("open")).toHaveLength(1);
    await election.close();
    expect(on.clock.timers).toBe(0);
  });

  it("one Election is one candidate: a second campaign is busy, in every state", async () => {
    const on = stage();
    const open = on.store.hold("open");
    const election = on.elect();
    const first = election.campaign();
    await expect(election.campaign()).rejects.toThrow(BusyError);
    open.answer(undefined);
    const term = await first;
    await expect(election.campaign()).rejects.toThrow(/is leading already/);
    await expect(election.run(() => {})).rejects.toThrow(BusyError);
    expect(term.isValid()).toBe(true);
  });

  it("waits until the record of the last term is given back", async () => {
    const on = stage();
    const election = on.elect();
    const term = await elected(on, election);
    const release = on.store.hold("release");
    void term.resign();
    const next = watched(election.campaign());
    await release.asked;
    await settle();
    expect(on.store.of("claim")).toHaveLength(1);
    release.answer(undefined);
    await settle();
    expect(next.value?.token).toBe(2n);
  });

  it("that wait ends with the signal too", async () => {
    const on = stage();
    const election = on.elect();
    const term = await elected(on, election);
    on.store.hold("release");
    void term.resign();
    const stop = new AbortController();
    const next = watched(election.campaign({ signal: stop.signal }));
    await settle();
    stop.abort("enough");
    await settle();
    expect(next.reason).toBe("enough");
  });

  it("the waiting outlives a store that goes away, and its sessions", async () => {
    const on = stage();
    const { claim } = on.store.answers;
    on.store.answers.claim = async () => [held()];
    const campaign = watched(on.elect().campaign());
    await settle();
    for (let outage = 0; outage < 3; outage++) {
      for (let failures = 0; failures < 4; failures++) on.store.hold("open").fail();
      on.store.session.events.ended("the server was restarted");
      await on.clock.advance(ttl * 5);
      expect(campaign.state).toBe("pending");
    }
    on.store.answers.claim = claim;
    await on.clock.advance(ttl * 1.1);
    expect(campaign.value?.isValid()).toBe(true);
  });

  it("is refused once the election, or its backend, is closed", async () => {
    const on = stage();
    const [election, other] = [on.elect("a"), on.elect("b")];
    await election.close();
    await expect(election.campaign()).rejects.toThrow(ClosedError);
    await on.backend.close();
    await expect(other.campaign()).rejects.toThrow(ClosedError);
    expect(other.state).toBe("closed");
    expect(on.store.of("open")).toEqual([]);
  });

  it("each election has an id of its own, unless it is told one", () => {
    const on = stage();
    const ids = Array.from({ length: 100 }, () => on.elect().id);
    expect(new Set(ids).size).toBe(100);
    expect(ids.every((id) => /^[0-9a-f]{16}$/.test(id))).toBe(true);
    expect(on.elect("a", { id: "pod-7" }).id).toBe("pod-7");
  });
});

describe("term.resign()", () => {
  it("settles when the record was given back", async () => {
    const on = stage();
    const term = await elected(on, on.elect());
    const release = on.store.hold("release");
    const resigned = watched(term.resign());
    await release.asked;
    await settle();
    expect(resigned.state).toBe("pending");
    release.answer(undefined);
    await settle();
    expect(resigned.state).toBe("resolved");
  });

  it("ends the term before the record is given back", async () => {
    const on = stage();
    const election = on.elect();
    const term = await elected(on, election);
    const release = on.store.hold("release");
    void term.resign();
    await release.asked;
    expect([term.isValid(), term.signal.aborted, election.state]).toEqual([false, true, "draining"]);
    expect(term.signal.reason).toMatchObject({ reason: "resigned" });
  });

  it("never rejects, and settles with the session when the store is away", async () => {
    const on = stage();
    const election = on.elect();
    const term = await elected(on, election);
    on.store.answers.release = () => Promise.reject(new Error("down"));
    on.store.answers.prove = () => Promise.reject(new Error("down"));
    const resigned = watched(term.resign());
    await on.clock.advance(ttl);
    expect(resigned.state).toBe("resolved");
    expect(election.state).toBe("idle");
  });

  it("of an ended term, or twice, is a no-op", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    const term = await elected(on, election);
    await Promise.all([term.resign(), term.resign()]);
    await term.resign();
    expect(says.filter((line) => line.startsWith("lost"))).toHaveLength(1);
    expect(on.store.of("release")).toHaveLength(1);
  });
});
