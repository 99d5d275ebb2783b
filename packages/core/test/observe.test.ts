import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";

import { RefusedError, UnreachableError } from "../src/errors.ts";
import type { LeaderRecord } from "../src/port.ts";
import { failure, silence } from "./kit/scripted-store.ts";
import { settle, stage, watched, type Stage } from "./kit/stage.ts";

function record(token: bigint, id = "a"): LeaderRecord {
  return { id, token, metadata: "null" };
}

/** Sets who leads, and says so. */
function leads(on: Stage, leader: LeaderRecord | null): void {
  on.store.answers.read = async () => leader;
  for (const watcher of on.store.watchers) watcher();
}

/** Collects what an observer sees. */
function collect(seen: AsyncIterable<{ id: string; token: bigint } | null>): string[] {
  const lines: string[] = [];
  void (async () => {
    try {
      for await (const leader of seen)
        lines.push(leader === null ? "nobody" : `${leader.id} ${leader.token}`);
      lines.push("end");
    } catch (error) {
      lines.push(`threw ${String(error)}`);
    }
  })();
  return lines;
}

describe("observe()", () => {
  it("says first who leads now, also when that is nobody, then each change", async () => {
    const on = stage();
    const seen = collect(on.elect().observe());
    await settle();
    expect(seen).toEqual(["nobody"]);
    for (const leader of [record(1n), record(2n, "b"), null, record(3n, "b")]) {
      leads(on, leader);
      await settle();
    }
    expect(seen).toEqual(["nobody", "a 1", "b 2", "nobody", "b 3"]);
  });

  it("says nothing twice, whatever the store says", async () => {
    const on = stage();
    const seen = collect(on.elect().observe());
    leads(on, record(1n));
    for (let again = 0; again < 5; again++) {
      leads(on, record(1n));
      await settle();
    }
    await on.clock.advance(10_000);
    expect(seen).toEqual(["a 1"]);
  });

  it("is conflated: a slow reader gets the newest only", async () => {
    const on = stage();
    const seen = on.elect().observe();
    leads(on, record(1n));
    expect((await seen.next()).value).toMatchObject({ token: 1n });
    for (let token = 2n; token <= 100n; token++) {
      leads(on, record(token));
      await settle();
    }
    expect((await seen.next()).value).toMatchObject({ token: 100n });
    const next = watched(seen.next());
    await settle();
    expect(next.state).toBe("pending");
  });

  it("G-26: a stale answer about an older term is not news; tokens never decrease", async () => {
    const on = stage();
    const seen = collect(on.elect().observe());
    leads(on, record(5n));
    await settle();
    for (const leader of [record(4n, "old"), null, record(4n, "old"), record(6n, "b")]) {
      leads(on, leader);
      await settle();
    }
    expect(seen).toEqual(["a 5", "nobody", "b 6"]);
  });

  it("a change between the watch and the read is read again", async () => {
    const on = stage();
    const read = on.store.hold("read");
    const seen = collect(on.elect().observe());
    await read.asked;
    leads(on, record(2n));
    read.answer(record(1n));
    await settle();
    expect(seen).toEqual(["a 1", "a 2"]);
  });

  it("watches before it reads", async () => {
    const on = stage();
    collect(on.elect().observe());
    await settle();
    expect(on.store.operations).toEqual(["watch", "read"]);
  });

  it("reads again at least every pollMs, whatever is pushed", async () => {
    const on = stage();
    const seen = collect(on.elect().observe());
    await settle();
    on.store.answers.read = async () => record(1n);
    await on.clock.advance(1_100);
    expect(seen).toEqual(["nobody", "a 1"]);
    await on.clock.advance(100_000);
    expect(on.store.of("read").length).toBeLessThan(120);
  });

  it("4.D 37: goes on after a gap, watching anew", async () => {
    const on = stage();
    const seen = collect(on.elect().observe());
    await settle();
    on.store.answers.read = failure;
    on.store.answers.watch = failure;
    await on.clock.advance(60_000);
    expect(on.store.of("watch").length).toBeLessThan(40);
    expect(on.store.watchers.size).toBe(0);
    on.store.answers.watch = async () => ({ pollMs: 1_000 });
    leads(on, record(7n));
    await on.clock.advance(5_000);
    expect(seen).toEqual(["nobody", "a 7"]);
    expect(on.store.watchers.size).toBe(1);
  });

  it("a watch that hangs is given up, and let go of should it come after all", async () => {
    const on = stage();
    const watch = on.store.hold("watch");
    const seen = collect(on.elect().observe());
    await on.clock.advance(6_000);
    expect(seen).toEqual(["nobody"]);
    watch.answer({ pollMs: 1_000 });
    await settle();
    expect(on.store.watchers.size).toBe(1);
  });

  it("shows metadata as it was given, and what is not JSON as it is", async () => {
    const on = stage();
    const election = on.elect();
    on.store.answers.read = async () => ({ id: "a", token: 1n, metadata: '{"port":3000}' });
    expect(await election.leader()).toEqual({ id: "a", token: 1n, metadata: { port: 3000 } });
    on.store.answers.candidates = async () => [{ id: "b", metadata: "written by hand" }];
    expect(await election.candidates()).toEqual([{ id: "b", metadata: "written by hand" }]);
  });
});

describe("observe(): its end", () => {
  it.each(["break", "return()"])("%s takes the watch off and leaves no timer", async (how) => {
    const on = stage();
    const seen = on.elect().observe();
    if (how === "break") for await (const _leader of seen) break;
    else {
      await seen.next();
      await seen.return();
    }
    expect([on.store.watchers.size, on.clock.timers]).toEqual([0, 0]);
  });

  it("the signal ends it with its reason, also while it waits, and keeps no listener", async () => {
    const on = stage();
    const stop = new AbortController();
    const seen = collect(on.elect().observe({ signal: stop.signal }));
    await settle();
    stop.abort(new Error("enough"));
    await settle();
    expect(seen).toEqual(["nobody", "threw Error: enough"]);
    expect([on.store.watchers.size, on.clock.timers]).toEqual([0, 0]);
    expect(getEventListeners(stop.signal, "abort")).toEqual([]);
  });

  it.each(["the election", "the backend"])("it ends when %s is closed", async (which) => {
    const on = stage();
    const election = on.elect();
    const seen = collect(election.observe());
    await settle();
    await (which === "the election" ? election.close() : on.backend.close());
    await settle();
    expect(seen).toEqual(["nobody", "end"]);
    expect([on.store.watchers.size, on.clock.timers]).toEqual([0, 0]);
  });

  it("ends while the store hangs", async () => {
    const on = stage();
    on.store.answers.read = silence;
    const election = on.elect();
    const seen = collect(election.observe());
    await settle();
    await election.close();
    await settle();
    expect(seen).toEqual(["end"]);
    expect([on.store.watchers.size, on.clock.timers]).toEqual([0, 0]);
  });

  it("an aborted signal: nothing is asked", async () => {
    const on = stage();
    const seen = collect(on.elect().observe({ signal: AbortSignal.abort(new Error("before")) }));
    await settle();
    expect(seen).toEqual(["threw Error: before"]);
    expect(on.store.calls).toEqual([]);
  });
});

describe("leader() and candidates()", () => {
  it("are asked again within their five seconds: a connection may have died while nobody used it", async () => {
    const on = stage();
    on.store.hold("read").fail();
    const asked = watched(on.elect().leader());
    await on.clock.advance(100);
    expect(asked).toMatchObject({ state: "resolved", value: null });
    expect(on.clock.timers).toBe(0);
  });

  it("are unreachable when they are not answered within five seconds, with the cause", async () => {
    const on = stage();
    on.store.answers.candidates = failure;
    const asked = watched(on.elect().candidates());
    await on.clock.advance(5_000);
    expect(asked.reason).toBeInstanceOf(UnreachableError);
    expect((asked.reason as Error).cause).toEqual(new Error("the link broke"));
    expect(on.clock.timers).toBe(0);
  });

  it("pass on a refusal as it is, at once", async () => {
    const on = stage();
    const refusal = new RefusedError("permission", "the user may not read elect_leaders");
    on.store.hold("read").fail(refusal);
    await expect(on.elect().leader()).rejects.toBe(refusal);
  });

  it.each(["while it is asked", "between two tries"])(
    "end with the signal's reason at once, %s",
    async (when) => {
      const on = stage();
      on.store.answers.read = when === "while it is asked" ? silence : failure;
      const stop = new AbortController();
      const asked = watched(on.elect().leader({ signal: stop.signal }));
      await on.clock.advance(200);
      stop.abort("enough");
      await settle();
      expect(asked.reason).toBe("enough");
      expect(getEventListeners(stop.signal, "abort")).toEqual([]);
      expect(on.clock.timers).toBe(0);
    },
  );

  it.each(["while it is asked", "between two tries"])("end with the election's close(), %s", async (when) => {
    const on = stage();
    on.store.answers.read = when === "while it is asked" ? silence : failure;
    const election = on.elect();
    const asked = watched(election.leader());
    await on.clock.advance(200);
    await election.close();
    await settle();
    expect(asked.reason).toMatchObject({ code: "ELECT_CLOSED" });
    // Nothing is left that keeps the process.
    expect(on.clock.timers).toBe(0);
  });

  it("are refused once the election is closed", async () => {
    const on = stage();
    const election = on.elect();
    await election.close();
    await expect(election.leader()).rejects.toMatchObject({ code: "ELECT_CLOSED" });
    await expect(election.candidates()).rejects.toMatchObject({ code: "ELECT_CLOSED" });
  });
});
