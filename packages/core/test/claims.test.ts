import { describe, expect, it } from "vitest";

import type { ClaimAnswer } from "../src/port.ts";
import { granted, held, silence, type Hear, type Operation } from "./kit/scripted-store.ts";
import { elected, journal, settle, stage, ttl, validFor, watched } from "./kit/stage.ts";

/** The calls that carry claims, in order. */
const traffic = (operations: readonly Operation[]): Operation[] =>
  operations.filter((operation) => ["claim", "release", "dispose"].includes(operation));

describe("claims: as few round trips as can be", () => {
  it("1,000 elections are claimed in one", async () => {
    const on = stage();
    const campaigns = Array.from({ length: 1_000 }, (_, index) => on.elect(`e${index}`).campaign());
    await Promise.all(campaigns);
    expect(on.store.of("claim").map((call) => call.requests.length)).toEqual([1_000]);
  });

  it("but never more than that, so that no answer takes long", async () => {
    const on = stage();
    await Promise.all(Array.from({ length: 2_500 }, (_, index) => on.elect(`e${index}`).campaign()));
    expect(on.store.of("claim").map((call) => call.requests.length)).toEqual([1_000, 1_000, 500]);
  });

  it("and released in one", async () => {
    const on = stage();
    const campaigns = Array.from({ length: 1_000 }, (_, index) => on.elect(`e${index}`).campaign());
    for (const term of await Promise.all(campaigns)) void term.resign();
    await settle();
    expect(on.store.of("release").map((call) => call.claims.length)).toEqual([1_000]);
  });

  it("one request is under way at a time; what came meanwhile goes with the next", async () => {
    const on = stage();
    const first = on.store.hold("claim");
    const campaigns = [on.elect("a").campaign()];
    await first.asked;
    campaigns.push(on.elect("b").campaign(), on.elect("c").campaign());
    await settle();
    expect(on.store.of("claim")).toHaveLength(1);
    first.answer([granted(100n)]);
    await Promise.all(campaigns);
    expect(on.store.of("claim").map((call) => call.requests.map((request) => request.election))).toEqual([
      ["a"],
      ["b", "c"],
    ]);
  });

  it("carries the candidate's id and metadata as JSON, and a nonce of its own for each campaign", async () => {
    const on = stage();
    const election = on.elect("a", { id: "me", metadata: { address: "http://10.0.0.7" } });
    await (await elected(on, election)).resign();
    await elected(on, election);
    const requests = on.store.of("claim").flatMap((call) => call.requests);
    expect(requests[0]).toMatchObject({
      election: "a",
      candidate: { id: "me", metadata: '{"address":"http://10.0.0.7"}' },
      unchanged: null,
    });
    expect(new Set(requests.map((request) => request.nonce)).size).toBe(2);
  });
});

describe("an answer that is told before the call is over", () => {
  /** Elections "a" and "b", claimed in one call that tells the answer for "a" and goes on. */
  const halfway = async () => {
    const on = stage();
    const told = Promise.withResolvers<Hear>();
    const rest = Promise.withResolvers<ClaimAnswer[]>();
    const { claim } = on.store.answers;
    on.store.answers.claim = async (_requests, _call, heard) => {
      on.store.answers.claim = claim;
      told.resolve(heard);
      return rest.promise;
    };
    const [a, b] = [on.elect("a"), on.elect("b")];
    const [journalOfA, journalOfB] = [journal(a), journal(b)];
    const [termOfA, termOfB] = [a.campaign(), watched(b.campaign())];
    const tell = await told.promise;
    return { on, a, b, journalOfA, journalOfB, termOfA, termOfB, tell, rest };
  };

  it("is acted on at once, and once", async () => {
    const { journalOfA, journalOfB, termOfA, tell, rest } = await halfway();
    tell(0, granted(7n));
    expect(journalOfA).toEqual(["idle > campaigning", "campaigning > leading", "elected 7"]);
    expect((await termOfA).isValid()).toBe(true);
    expect(journalOfB).toEqual(["idle > campaigning"]);
    tell(0, granted(7n));
    rest.resolve([granted(7n), granted(8n)]);
    await settle();
    expect(journalOfA).toHaveLength(3);
    expect(journalOfB.at(-1)).toBe("elected 8");
  });

  it("stands when the call fails: the outcome of the others is unknown, and of no more than those", async () => {
    const { on, b, journalOfA, journalOfB, tell, rest } = await halfway();
    tell(0, granted(7n));
    rest.reject(new Error("the link broke"));
    await on.clock.advance(ttl / 3);
    expect(on.store.of("dispose").map(({ claims }) => claims.map(({ election }) => election))).toEqual([
      ["b"],
    ]);
    expect(journalOfA.filter((line) => line.startsWith("lost"))).toEqual([]);
    expect(journalOfB.at(-1)).toBe("elected 1");
    expect(b.state).toBe("leading");
  });

  it("comes too late when the call's time is up", async () => {
    const { on, a, termOfA, tell } = await halfway();
    const term = watched(termOfA);
    on.store.answers.dispose = silence;
    await on.clock.advance(ttl / 3);
    tell(0, granted(7n));
    await settle();
    expect([a.state, term.state]).toEqual(["campaigning", "pending"]);
  });

  it("means nothing when the session is over", async () => {
    const { on, a, journalOfA, tell } = await halfway();
    const reopened = on.store.hold("open");
    on.store.session.events.ended("it was killed");
    tell(0, granted(7n));
    await reopened.asked;
    expect([a.state, journalOfA]).toEqual(["campaigning", ["idle > campaigning"]]);
  });

  it("nor does it to one who gave up meanwhile: the next session has nothing to do with it", async () => {
    const { on, a, journalOfB, termOfA, tell } = await halfway();
    termOfA.catch(() => {});
    const closed = a.close();
    on.store.session.events.ended("it was killed");
    tell(0, granted(7n));
    await on.clock.advance(ttl / 2);
    await closed;
    expect(journalOfB.at(-1)).toBe("elected 1");
    expect(traffic(on.store.operations)).toEqual(["claim", "claim"]);
    expect(on.store.of("prove").flatMap(({ claims }) => claims.map(({ election }) => election))).toEqual([
      "b",
    ]);
  });

  it("that is given back at once is given back after the call: they are made one at a time", async () => {
    const { on, termOfA, tell, rest } = await halfway();
    tell(0, granted(7n));
    const given = watched((await termOfA).resign());
    await settle();
    expect([traffic(on.store.operations), given.state]).toEqual([["claim"], "pending"]);
    rest.resolve([granted(7n), granted(8n)]);
    await settle();
    expect([traffic(on.store.operations), given.state]).toEqual([["claim", "release"], "resolved"]);
  });
});

describe("P5: unknown is a result", () => {
  it("G-6, G-7: a claim of unknown outcome is disposed of before it is made again", async () => {
    const on = stage();
    on.store.hold("claim").fail();
    const campaign = watched(on.elect().campaign());
    await on.clock.advance(500);
    expect(traffic(on.store.operations)).toEqual(["claim", "dispose", "claim"]);
    const [asked, disposed] = [on.store.of("claim")[0], on.store.of("dispose")[0]];
    expect(disposed?.claims).toEqual([{ election: "nightly-report", nonce: asked?.claims[0]?.nonce }]);
    expect(campaign.state).toBe("resolved");
  });

  it("a claim that nobody answers is of unknown outcome after a third of the TTL", async () => {
    const on = stage();
    const claim = on.store.hold("claim");
    const campaign = watched(on.elect().campaign());
    const { call } = await claim.asked;
    await on.clock.advance(ttl / 3);
    expect(call.signal.aborted).toBe(true);
    await on.clock.advance(500);
    expect(traffic(on.store.operations)).toEqual(["claim", "dispose", "claim"]);
    const { token } = campaign.value ?? { token: 0n };
    claim.answer([granted(99n)]);
    await settle();
    // The late answer is nobody's.
    expect(campaign.value?.token).toBe(token);
    expect(campaign.value?.isValid()).toBe(true);
  });

  it("nothing goes before a disposal: it is tried until the store has confirmed it", async () => {
    const on = stage();
    on.store.hold("claim").fail();
    for (let failures = 0; failures < 4; failures++) on.store.hold("dispose").fail();
    const campaign = watched(on.elect("a").campaign());
    await on.clock.advance(20);
    void on.elect("b").campaign();
    await on.clock.advance(2_000);
    expect(traffic(on.store.operations)).toEqual(["claim", ...Array<Operation>(5).fill("dispose"), "claim"]);
    expect(campaign.state).toBe("resolved");
  });

  it("one unknown among many answers is disposed of alone", async () => {
    const on = stage();
    on.store.hold("claim").answer([granted(5n), { kind: "unknown", cause: new Error("?") }, held()]);
    const campaigns = ["a", "b", "c"].map((name) => watched(on.elect(name).campaign()));
    await on.clock.advance(500);
    expect(on.store.of("dispose").map((call) => call.claims.map((claim) => claim.election))).toEqual([["b"]]);
    expect(campaigns.map((campaign) => campaign.state)).toEqual(["resolved", "resolved", "pending"]);
  });

  it("an adapter that answers fewer requests than it was asked has left the rest unknown", async () => {
    const on = stage();
    on.store.hold("claim").answer([granted(5n)]);
    for (const name of ["a", "b"]) void on.elect(name).campaign();
    await on.clock.advance(500);
    expect(on.store.of("dispose")[0]?.claims.map((claim) => claim.election)).toEqual(["b"]);
  });

  it("after failures it rests a little longer each time, a sixth of the TTL at most", async () => {
    const on = stage();
    on.store.answers.claim = async () => Promise.reject(new Error("down"));
    on.store.answers.dispose = async () => Promise.reject(new Error("down"));
    void on.elect().campaign();
    await on.clock.advance(validFor - 1);
    const at = on.store.calls.filter((call) => traffic([call.operation]).length > 0).map((call) => call.at);
    const gaps = at.slice(1).map((time, index) => time - (at[index] ?? NaN));
    expect(gaps.length).toBeGreaterThan(6);
    expect(gaps.length).toBeLessThan(20);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(ttl / 6);
  });

  it("G-8: a grant whose answer was under way beyond the lease is not taken", async () => {
    const on = stage();
    const claim = on.store.hold("claim");
    const election = on.elect();
    const says = journal(election);
    const campaign = watched(election.campaign());
    await claim.asked;
    on.clock.freeze(validFor);
    claim.answer([granted(7n)]);
    await settle();
    expect(says.join()).not.toContain("elected");
    await on.clock.advance(0);
    // The session is over; the campaign goes on in the next.
    expect(on.store.sessions).toHaveLength(2);
    expect(campaign.value?.token).not.toBe(7n);
  });

  it("S5: a grant whose record is lost while its answer is under way is not taken", async () => {
    const on = stage();
    const claim = on.store.hold("claim");
    const election = on.elect();
    const says = journal(election);
    const campaign = watched(election.campaign());
    const { claims } = await claim.asked;
    const [first] = claims;
    if (first !== undefined) on.store.session.events.lost(first, "deleted by an operator");
    claim.answer([granted(7n)]);
    await on.clock.advance(100);
    expect(traffic(on.store.operations)).toEqual(["claim", "dispose", "claim"]);
    expect(says.join()).not.toContain("elected 7");
    expect(campaign.state).toBe("resolved");
  });
});

describe("P7: no zombie and no phantom", () => {
  it("what was aborted while asked is released when the grant comes, and is never elected", async () => {
    const on = stage();
    const claim = on.store.hold("claim");
    const election = on.elect();
    const says = journal(election);
    const stop = new AbortController();
    const campaign = watched(election.campaign({ signal: stop.signal }));
    await claim.asked;
    stop.abort(new Error("no longer wanted"));
    await settle();
    expect(campaign.reason).toBe(stop.signal.reason);
    expect(on.store.of("release")).toEqual([]);
    claim.answer([granted(7n)]);
    await settle();
    expect(on.store.of("release")[0]?.claims).toEqual(on.store.of("claim")[0]?.claims.map(onlyClaim));
    expect(says).toEqual(["idle > campaigning", "campaigning > idle"]);
  });

  it("what was aborted while its outcome is unknown is disposed of, and not claimed again", async () => {
    const on = stage();
    const claim = on.store.hold("claim");
    const stop = new AbortController();
    const campaign = watched(on.elect().campaign({ signal: stop.signal }));
    await claim.asked;
    stop.abort(new Error("no longer wanted"));
    claim.fail();
    await on.clock.advance(2_000);
    expect(traffic(on.store.operations)).toEqual(["claim", "dispose"]);
    expect(campaign.state).toBe("rejected");
  });

  it("what was aborted while waiting leaves the queue", async () => {
    const on = stage();
    on.store.answers.claim = async (requests) => requests.map(() => held());
    const stop = new AbortController();
    const election = on.elect();
    const says = journal(election);
    void watched(election.campaign({ signal: stop.signal }));
    await settle();
    stop.abort(new Error("no longer wanted"));
    await settle();
    expect(traffic(on.store.operations)).toEqual(["claim", "release"]);
    on.store.answers.claim = async (requests) => requests.map(() => granted(1n));
    on.store.session.events.hint(null);
    await on.clock.advance(ttl * 3);
    expect(says).toEqual(["idle > campaigning", "campaigning > idle"]);
  });

  it("what was aborted before any session was open is never claimed", async () => {
    const on = stage();
    const open = on.store.hold("open");
    const stop = new AbortController();
    void watched(on.elect().campaign({ signal: stop.signal }));
    await open.asked;
    stop.abort(new Error("no longer wanted"));
    open.answer(undefined);
    await on.clock.advance(ttl);
    expect(traffic(on.store.operations)).toEqual([]);
  });

  it("a refusal that comes after the abort is told to nobody", async () => {
    const on = stage();
    const claim = on.store.hold("claim");
    const stop = new AbortController();
    const election = on.elect();
    const campaign = watched(election.campaign({ signal: stop.signal }));
    await claim.asked;
    stop.abort(new Error("no longer wanted"));
    const { RefusedError } = await import("../src/errors.ts");
    claim.answer([{ kind: "refused", error: new RefusedError("permission", "no") }]);
    await settle();
    expect(campaign.reason).toBe(stop.signal.reason);
    expect(election.state).toBe("idle");
  });
});

describe("order within one session", () => {
  it("what is given back goes before what is claimed, so that nobody waits for our own record", async () => {
    const on = stage();
    const term = await elected(on, on.elect("a"));
    const busy = on.store.hold("claim");
    void on.elect("b").campaign();
    await busy.asked;
    void on.elect("c").campaign();
    void term.resign();
    busy.answer([granted(50n)]);
    await settle();
    expect(traffic(on.store.operations)).toEqual(["claim", "claim", "release", "claim"]);
  });

  it("a release that failed is tried again; the campaign that follows waits for it", async () => {
    const on = stage();
    const election = on.elect();
    const term = await elected(on, election);
    on.store.hold("release").fail();
    void term.resign();
    const again = watched(election.campaign());
    await on.clock.advance(1_000);
    expect(traffic(on.store.operations)).toEqual(["claim", "release", "release", "claim"]);
    expect(again.value?.token).toBe(2n);
  });
});

function onlyClaim({ election, nonce }: { election: string; nonce: string }): object {
  return { election, nonce };
}
