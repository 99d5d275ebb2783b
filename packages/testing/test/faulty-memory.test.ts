import { createElection, NotLeaderError, TokenRegressionError, type Election, type Term } from "@elect/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeClock } from "../src/fake-clock.ts";
import { faultyMemory, type FaultyMemory } from "../src/faulty-memory.ts";

const ttl = 1000;
let clock: FakeClock;
let store: FaultyMemory;

beforeEach(() => {
  clock = new FakeClock();
  store = faultyMemory({ clock });
});

afterEach(async () => {
  store.heal();
  const closed = store.close();
  await clock.advance(30_000);
  await closed;
});

function candidate(
  of: FaultyMemory = store,
  id = "a",
): { election: Election; terms: Term[]; losses: string[] } {
  const election = createElection({ backend: of.backend, name: "job", ttl, id });
  const [terms, losses]: [Term[], string[]] = [[], []];
  election.on("elected", ({ term }) => {
    terms.push(term);
    term.signal.addEventListener("abort", () => void term.resign());
  });
  election.on("lost", ({ reason }) => losses.push(reason));
  return { election, terms, losses };
}

describe("what happens in the store", () => {
  test("takeOver: the leader is told, the rival leads, and after it the first one again", async () => {
    const a = candidate();
    await a.election.campaign();
    const rival = await store.takeOver("job");
    expect(a.terms[0]?.isValid()).toBe(false);
    expect(a.terms[0]?.signal.reason).toBeInstanceOf(NotLeaderError);
    expect(rival.token).toBeGreaterThan(a.terms[0]?.token ?? 0n);
    expect(await a.election.leader()).toMatchObject({ id: "rival", token: rival.token });
    const again = a.election.campaign();
    await clock.advance(5 * ttl);
    expect(a.terms).toHaveLength(1);
    await rival.resign();
    await clock.advance(10);
    expect((await again).token).toBeGreaterThan(rival.token);
  });

  test("takeOver of an election that nobody leads", async () => {
    expect((await store.takeOver("job", "b")).isValid()).toBe(true);
  });

  test("removeLeader and endSession end the term, with their reasons", async () => {
    const a = candidate();
    await a.election.campaign();
    store.removeLeader("job");
    expect(a.losses).toEqual(["record-lost"]);
    await clock.advance(10);
    const second = a.election.campaign();
    await clock.advance(10);
    await second;
    await store.endSession("job");
    expect(a.losses).toEqual(["record-lost", "session-ended"]);
    expect(() => store.removeLeader("job")).toThrow('nobody leads the election "job"');
  });
});

test("G-27 a store restored from a backup is not followed", async () => {
  const a = candidate();
  await (await a.election.campaign()).resign();
  store.restoreBackup();
  await expect(a.election.campaign()).rejects.toThrow(TokenRegressionError);
  expect(a.terms).toHaveLength(1);
  expect(await candidate(store, "b").election.leader()).toBeNull();
});

describe("what happens to the link", () => {
  for (const fault of ["disconnect", "silence"] as const) {
    test(`${fault}: uncertain, then lost at the deadline; back after healing`, async () => {
      const a = candidate();
      const term = await a.election.campaign();
      await clock.advance(ttl / 4);
      store[fault]();
      await clock.advance(ttl / 2);
      expect([a.election.state, term.isValid()]).toEqual(["uncertain", true]);
      await clock.advance(ttl / 2);
      expect([a.election.state, term.isValid(), a.losses]).toEqual(["idle", false, ["expired"]]);
      const again = a.election.campaign();
      await clock.advance(5 * ttl);
      expect(a.terms).toHaveLength(1);
      store.heal();
      await clock.advance(6 * ttl);
      expect((await again).isValid()).toBe(true);
    });
  }

  test("a moment of silence costs nothing", async () => {
    const a = candidate();
    const term = await a.election.campaign();
    store.silence();
    await clock.advance(ttl / 2);
    store.heal();
    await clock.advance(3 * ttl);
    expect([a.election.state, term.isValid(), a.losses]).toEqual(["leading", true, []]);
  });

  test("slow proofs: a delay below the limit costs nothing, one above it costs the term", async () => {
    const a = candidate();
    const term = await a.election.campaign();
    store.delay("prove", ttl / 10);
    await clock.advance(3 * ttl);
    expect([term.isValid(), a.losses]).toEqual([true, []]);
    store.delay("prove", 0.9 * ttl);
    await clock.advance(2 * ttl);
    expect([term.isValid(), a.losses]).toEqual([false, ["expired"]]);
  });

  test("a lost reply to a claim: elected by the next try, once", async () => {
    const a = candidate();
    store.loseReply("claim");
    const bid = a.election.campaign();
    await clock.advance(ttl);
    expect((await bid).isValid()).toBe(true);
    expect(a.terms).toHaveLength(1);
  });

  test("a claim that arrives after it was given up is no ghost", async () => {
    const a = candidate();
    const release = store.hold("claim");
    const abort = new AbortController();
    const bid = a.election.campaign({ signal: abort.signal });
    await clock.advance(ttl / 4);
    abort.abort(new Error("given up"));
    await expect(bid).rejects.toThrow("given up");
    await clock.advance(ttl / 2);
    release();
    await clock.advance(10);
    const b = candidate(store.another(), "b");
    const next = b.election.campaign();
    await clock.advance(10);
    expect((await next).isValid()).toBe(true);
    expect(a.terms).toEqual([]);
  });

  test("faults of one process do not touch another", async () => {
    const other = store.another();
    const [a, b] = [candidate(), candidate(other, "b")];
    const term = await a.election.campaign();
    const next = b.election.campaign();
    await clock.advance(10);
    store.silence();
    await clock.advance(2 * ttl);
    expect(term.isValid()).toBe(false);
    expect((await next).isValid()).toBe(true);
  });
});
