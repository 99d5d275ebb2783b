import { describe, expect, test } from "vitest";
import { FakeClock } from "../src/fake-clock.ts";

describe("fake clock", () => {
  test("fires timers in order of their time, then of their setting, each at its own time", async () => {
    const clock = new FakeClock();
    const fired: string[] = [];
    const note = (name: string) => () => fired.push(`${name}@${clock.now()}`);
    clock.timer(30, note("c"));
    clock.timer(10, note("a"));
    clock.timer(30, note("d"));
    clock.timer(20, note("b"));
    await clock.advance(25);
    expect(fired).toEqual(["a@10", "b@20"]);
    expect(clock.now()).toBe(25);
    await clock.advance(100);
    expect(fired).toEqual(["a@10", "b@20", "c@30", "d@30"]);
    expect(clock.timers).toBe(0);
  });

  test("what a timer sets off runs before time goes on, further timers included", async () => {
    const clock = new FakeClock();
    const fired: number[] = [];
    const again = (): void => {
      clock.timer(10, () => {
        fired.push(clock.now());
        void (async () => {
          for (let turn = 0; turn < 50; turn++) await Promise.resolve();
          again();
        })();
      });
    };
    again();
    await clock.advance(45);
    expect(fired).toEqual([10, 20, 30, 40]);
  });

  test("a cancelled timer does not fire", async () => {
    const clock = new FakeClock();
    const timer = clock.timer(5, () => expect.fail("fired"));
    timer.cancel();
    await clock.advance(10);
  });

  test("freeze passes time without running anything; the timers fire late", async () => {
    const clock = new FakeClock();
    const fired: number[] = [];
    clock.timer(10, () => fired.push(clock.now()));
    clock.freeze(500);
    expect(fired).toEqual([]);
    await clock.advance(0);
    expect(fired).toEqual([500]);
  });

  test("the same seed, the same numbers; nonces are 128 bits and never repeat", () => {
    const [a, b, c] = [new FakeClock(7), new FakeClock(7), new FakeClock(8)];
    const five = (clock: FakeClock) => Array.from({ length: 5 }, () => clock.random());
    const first = five(a);
    expect(five(b)).toEqual(first);
    expect(five(c)).not.toEqual(first);
    expect(first.every((number) => number >= 0 && number < 1)).toBe(true);
    const nonces = Array.from({ length: 1000 }, () => a.nonce());
    expect(new Set(nonces).size).toBe(1000);
    expect(nonces.every((nonce) => /^[0-9a-f]{32}$/.test(nonce))).toBe(true);
  });
});
