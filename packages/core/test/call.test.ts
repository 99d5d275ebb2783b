import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";

import { FakeClock } from "../../testing/src/fake-clock.ts";
import { onAbort, raceAbort } from "../src/abort.ts";
import { bounded } from "../src/call.ts";
import type { Call } from "../src/port.ts";
import { settle, watched } from "./kit/stage.ts";

describe("a port call", () => {
  it("answers with what the adapter answers, and leaves no timer", async () => {
    const clock = new FakeClock();
    expect(await bounded(clock, 100, async () => "answer")).toBe("answer");
    expect(clock.timers).toBe(0);
  });

  it("tells the adapter how long it may take", async () => {
    const clock = new FakeClock();
    expect(await bounded(clock, 100, async (call) => call.timeoutMs)).toBe(100);
    expect(await bounded(clock, -5, async (call) => call.timeoutMs)).toBe(1);
  });

  it("ends at its limit, though the adapter hangs, and tells the adapter so", async () => {
    const clock = new FakeClock();
    const calls: Call[] = [];
    const outcome = watched(
      bounded(clock, 100, (call) => {
        calls.push(call);
        return new Promise<never>(() => {});
      }),
    );
    await clock.advance(99);
    expect(outcome.state).toBe("pending");
    expect(calls[0]?.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(outcome.state).toBe("rejected");
    expect(outcome.reason).toMatchObject({ name: "TimeoutError", message: "no answer within 100 ms" });
    expect(calls[0]?.signal.reason).toBe(outcome.reason);
    expect(clock.timers).toBe(0);
  });

  it("an adapter that throws instead of rejecting has rejected", async () => {
    const clock = new FakeClock();
    const thrown = new Error("sync");
    await expect(
      bounded(clock, 100, () => {
        throw thrown;
      }),
    ).rejects.toBe(thrown);
    expect(clock.timers).toBe(0);
  });

  it("a late answer is handed over once, and changes nothing else", async () => {
    const clock = new FakeClock();
    const answer = Promise.withResolvers<string>();
    const late: string[] = [];
    const outcome = watched(
      bounded(clock, 100, () => answer.promise, { late: (value) => void late.push(value) }),
    );
    await clock.advance(100);
    answer.resolve("too late");
    await settle();
    expect(outcome.state).toBe("rejected");
    expect(late).toEqual(["too late"]);
  });

  it("an answer in time is not late", async () => {
    const late: string[] = [];
    await bounded(new FakeClock(), 100, async () => "in time", { late: (value) => void late.push(value) });
    await settle();
    expect(late).toEqual([]);
  });

  it("a late failure is nobody's unhandled rejection", async () => {
    const clock = new FakeClock();
    const answer = Promise.withResolvers<string>();
    const outcome = watched(bounded(clock, 100, () => answer.promise));
    await clock.advance(100);
    answer.reject(new Error("too late to fail"));
    await settle();
    expect(outcome.reason).toMatchObject({ name: "TimeoutError" });
  });

  it("rejects with the signal's reason, untouched, at once", async () => {
    const clock = new FakeClock();
    const user = new AbortController();
    const outcome = watched(bounded(clock, 100, () => new Promise<never>(() => {}), { signal: user.signal }));
    await settle();
    const reason = { any: "value" };
    user.abort(reason);
    await settle();
    expect(outcome.reason).toBe(reason);
    expect(clock.timers).toBe(0);
  });

  it("is not even begun when the signal has aborted", async () => {
    const reason = new Error("before");
    const begun: string[] = [];
    const signal = AbortSignal.abort(reason);
    await expect(bounded(new FakeClock(), 100, async () => begun.push("begun"), { signal })).rejects.toBe(
      reason,
    );
    expect(begun).toEqual([]);
  });
});

describe("an abort signal that lives as long as the process", () => {
  it("keeps no listener of 10,000 calls", async () => {
    const clock = new FakeClock();
    const { signal } = new AbortController();
    for (let call = 0; call < 10_000; call++) await bounded(clock, 100, async () => call, { signal });
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("keeps no listener of races that are over", async () => {
    const { signal } = new AbortController();
    await raceAbort(Promise.resolve(1), signal);
    await expect(raceAbort(Promise.reject(new Error("own")), signal)).rejects.toThrow("own");
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("calls once; not after unlistening; at once when it has aborted already", () => {
    const user = new AbortController();
    const heard: unknown[] = [];
    onAbort(user.signal, (reason) => heard.push(reason));
    onAbort(user.signal, () => heard.push("unlistened"))();
    user.abort("now");
    user.abort("again");
    onAbort(user.signal, (reason) => heard.push(reason));
    onAbort(undefined, () => heard.push("no signal"))();
    expect(heard).toEqual(["now", "now"]);
  });

  it("a race ends with the signal's reason, and the work goes on unheard", async () => {
    const user = new AbortController();
    const work = Promise.withResolvers<number>();
    const outcome = watched(raceAbort(work.promise, user.signal));
    user.abort("enough");
    await settle();
    expect(outcome.reason).toBe("enough");
    work.reject(new Error("unheard"));
    await settle();
    expect(await raceAbort(Promise.resolve(2), undefined)).toBe(2);
  });
});
