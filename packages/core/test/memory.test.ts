import { describe, expect, it } from "vitest";

import { FakeClock } from "../../testing/src/fake-clock.ts";
import { createElection, type Election } from "../src/election.ts";
import { memory, MemoryAdapter } from "../src/memory.ts";
import type { Adapter, Call, ClaimRequest, Session, SessionEvents } from "../src/port.ts";
import { journal, watched } from "./kit/stage.ts";

const ttl = 3_000;
const call: Call = { signal: new AbortController().signal, timeoutMs: 1_000 };

let stores = 0;

/** A store, and sessions on it whose events are written down. */
function store() {
  const clock = new FakeClock(++stores);
  const adapter: Adapter = new MemoryAdapter({ clock });
  const said: string[] = [];
  const open = (nonce: string): Promise<Session> => {
    const events: SessionEvents = {
      hint: (election) => void said.push(`${nonce}: hint ${election}`),
      doubt: () => void said.push(`${nonce}: doubt`),
      lost: (claim) => void said.push(`${nonce}: lost ${claim.election}`),
      ended: () => void said.push(`${nonce}: ended`),
    };
    return adapter.open({ ttlMs: ttl, nonce, events }, call);
  };
  return { clock, adapter, said, open };
}

function bid(nonce: string, election = "report"): ClaimRequest {
  return { election, nonce, candidate: { id: nonce, metadata: "null" }, unchanged: null };
}

async function claim(session: Session, nonce: string): Promise<string> {
  const [answer] = await session.claim([bid(nonce)], call);
  if (answer?.kind === "granted") return `granted ${answer.token}`;
  return answer?.kind === "held" ? `held by ${answer.by?.id}` : String(answer?.kind);
}

describe("memory(): the port, as it is meant", () => {
  it("S2: a claim is idempotent by nonce, and our own session's lock blocks another nonce of ours", async () => {
    const { open } = store();
    const session = await open("s");
    expect(await claim(session, "a")).toBe("granted 1");
    expect(await claim(session, "a")).toBe("granted 1");
    expect(await claim(session, "b")).toBe("held by a");
  });

  it("waiters win in the order in which they came, one woken at a time; tokens rise", async () => {
    const { open, said } = store();
    const [first, second, third] = [await open("s1"), await open("s2"), await open("s3")];
    expect(await claim(first, "a")).toBe("granted 1");
    expect(await claim(second, "b")).toBe("held by a");
    expect(await claim(third, "c")).toBe("held by a");
    await first.release([bid("a")], call);
    expect(said).toEqual(["s2: hint report"]);
    // Not its turn.
    expect(await claim(third, "c")).toBe("held by undefined");
    expect(await claim(second, "b")).toBe("granted 2");
    await second.end(call);
    expect(await claim(third, "c")).toBe("granted 3");
  });

  it("S1, S3: a session whose lease ran out is dead for good, and what it held is free", async () => {
    const { clock, open, said } = store();
    const [dying, other] = [await open("dying"), await open("other")];
    expect(await claim(dying, "a")).toBe("granted 1");
    await clock.advance(ttl - 1);
    expect(await other.prove(new Map(), call)).toMatchObject({ kind: "alive" });
    expect(await claim(other, "b")).toBe("held by a");
    await clock.advance(1);
    expect(await claim(other, "b")).toBe("granted 2");
    expect(said).toContain("dying: ended");
    expect(await dying.prove(new Map(), call)).toMatchObject({ kind: "dead" });
    await expect(claim(dying, "a")).rejects.toThrow("the session was ended");
  });

  it("P7: one that left the queue does not win", async () => {
    const { open } = store();
    const [one, other] = [await open("one"), await open("other")];
    await claim(one, "a");
    await claim(other, "b");
    await other.release([bid("b")], call);
    await one.end(call);
    const third = await open("third");
    expect(await claim(third, "c")).toBe("granted 2");
  });

  it("P6: a release hits only what it names", async () => {
    const { adapter, open } = store();
    const [one, other] = [await open("one"), await open("other")];
    await claim(one, "a");
    await other.release([bid("a")], call);
    await one.release([bid("b")], call);
    expect(await adapter.read("report", call)).toEqual({ id: "a", token: 1n, metadata: "null" });
  });

  it("S5: a proof names the claims that it does not find", async () => {
    const { open } = store();
    const session = await open("s");
    await claim(session, "a");
    const held = [bid("a"), bid("gone")].map((each) => [each.nonce, each] as const);
    expect(await session.prove(new Map(held), call)).toMatchObject({ lost: [{ nonce: "gone" }] });
  });

  it("any process can end a session by its ticket", async () => {
    const { adapter, open } = store();
    const session = await open("s");
    await claim(session, "a");
    await adapter.end(session.ticket, call);
    expect(await adapter.read("report", call)).toBeNull();
    await adapter.end(session.ticket, call);
  });
});

describe("memory(): elections", () => {
  it("one leads, the next one takes over when it resigns, and those who look on see it", async () => {
    const clock = new FakeClock(++stores);
    await using backend = memory({ clock });
    const candidate = (id: string): Election =>
      createElection({ backend, name: "report", id, metadata: { zone: id } });
    const [one, other] = [candidate("one"), candidate("other")];
    const says = journal(other);
    const term = await one.campaign();
    const next = watched(other.campaign());
    await clock.advance(0);
    expect(await other.leader()).toEqual({ id: "one", token: 1n, metadata: { zone: "one" } });
    expect((await one.candidates()).map(({ id }) => id)).toEqual(["one", "other"]);
    await term.resign();
    await clock.advance(0);
    expect(next.value?.token).toBe(2n);
    expect(says).toEqual(["idle > campaigning", "campaigning > leading", "elected 2"]);
    await next.value?.resign();
  });
});
