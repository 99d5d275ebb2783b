import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { MachineClock } from "../src/clock.ts";

/** A machine whose three clocks are moved by hand. */
class Machine {
  monotonic = 1_000;
  wall = 1_700_000_000_000;
  boot: number = 50_000;
  bootReads = 0;

  clock({ hasBootClock = true }: { hasBootClock?: boolean } = {}): MachineClock {
    const boot = (): number => {
      this.bootReads += 1;
      // /proc/uptime counts hundredths of a second.
      return Math.floor(this.boot / 10) * 10;
    };
    return new MachineClock(
      () => this.monotonic,
      () => this.wall,
      hasBootClock ? boot : null,
    );
  }

  run(ms: number): void {
    this.monotonic += ms;
    this.wall += ms;
    this.boot += ms;
  }

  /** On Linux the monotonic clock stands still meanwhile. */
  suspend(ms: number): void {
    this.wall += ms;
    this.boot += ms;
  }
}

describe("the machine's clock", () => {
  it("is the monotonic clock, and reads the boot clock never, as long as nothing is odd", () => {
    const machine = new Machine();
    const clock = machine.clock();
    const { bootReads } = machine;
    const before = clock.now();
    for (let tick = 0; tick < 100; tick++) machine.run(1_000);
    expect(clock.now() - before).toBe(100_000);
    expect(machine.bootReads).toBe(bootReads);
  });

  it("G-17: counts the time in which the machine was suspended", () => {
    const machine = new Machine();
    const clock = machine.clock();
    const before = clock.now();
    machine.run(2_000);
    machine.suspend(60_000);
    machine.run(500);
    const passed = clock.now() - before;
    expect(passed).toBeGreaterThanOrEqual(62_500);
    expect(passed).toBeLessThanOrEqual(62_500 + 20);
  });

  it("counts many suspends, never too little and never going back", () => {
    const machine = new Machine();
    const clock = machine.clock();
    const before = clock.now();
    let truth = 0;
    let last = before;
    for (let nap = 1; nap <= 200; nap++) {
      machine.run(nap);
      machine.suspend(nap * 7);
      truth += nap * 8;
      const now = clock.now();
      expect(now).toBeGreaterThanOrEqual(last);
      // What may go unnoticed is less than the smallest margin of a lease.
      expect(now - before).toBeGreaterThanOrEqual(truth - 50);
      expect(now - before).toBeLessThanOrEqual(truth + 20);
      last = now;
    }
  });

  it.each([3_600_000, -3_600_000])("G-15: a step of the wall clock by %i ms changes nothing", (step) => {
    const machine = new Machine();
    const clock = machine.clock();
    const before = clock.now();
    machine.wall += step;
    machine.run(10);
    expect(clock.now() - before).toBe(10);
    machine.wall -= step;
    machine.run(10);
    expect(clock.now() - before).toBe(20);
  });

  it("G-15: a wall clock that strobes every 10 ms changes nothing", () => {
    const machine = new Machine();
    const clock = machine.clock();
    const before = clock.now();
    for (let tick = 0; tick < 1_000; tick++) {
      machine.wall += tick % 2 === 0 ? 3_600_000 : -3_600_000;
      machine.run(10);
      expect(clock.now() - before).toBe((tick + 1) * 10);
    }
  });

  it("notices a suspend although the wall clock was set back in it", () => {
    const machine = new Machine();
    const clock = machine.clock();
    const before = clock.now();
    machine.suspend(30_000);
    machine.wall -= 3_600_000;
    expect(clock.now() - before).toBeGreaterThanOrEqual(30_000);
  });

  it("the coarse boot clock alone never makes time jump", () => {
    const machine = new Machine();
    machine.boot = 50_009;
    const clock = machine.clock();
    const before = clock.now();
    machine.run(1);
    machine.wall += 1_000;
    expect(clock.now() - before).toBe(1);
  });

  it("without a boot clock (macOS, Windows) it is the monotonic clock, which goes on in a suspend", () => {
    const machine = new Machine();
    const clock = machine.clock({ hasBootClock: false });
    const before = clock.now();
    machine.suspend(5_000);
    expect(clock.now() - before).toBe(0);
  });

  it("on this machine, does not go back", () => {
    const clock = new MachineClock();
    let last = clock.now();
    for (let read = 0; read < 10_000; read++) {
      const now = clock.now();
      expect(now >= last).toBe(true);
      last = now;
    }
  });
});

describe("the machine's timers", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("fire once, not before their time, and not when cancelled", () => {
    const clock = new MachineClock();
    const fired: string[] = [];
    clock.timer(100, () => fired.push("kept"));
    clock.timer(100, () => fired.push("cancelled")).cancel();
    vi.advanceTimersByTime(99);
    expect(fired).toEqual([]);
    vi.advanceTimersByTime(1_000);
    expect(fired).toEqual(["kept"]);
  });

  it("a delay longer than Node's longest does not fire at once", () => {
    const clock = new MachineClock();
    const fired: string[] = [];
    clock.timer(2 ** 40, () => fired.push("too early"));
    clock.timer(Infinity, () => fired.push("too early"));
    vi.advanceTimersByTime(2 ** 31 - 2);
    expect(fired).toEqual([]);
  });

  it("a delay below zero fires at once", () => {
    const fired: string[] = [];
    new MachineClock().timer(-5, () => fired.push("fired"));
    vi.advanceTimersByTime(1);
    expect(fired).toEqual(["fired"]);
  });
});

it("nonces are 128 random bits in hexadecimal", () => {
  const clock = new MachineClock();
  const nonces = Array.from({ length: 1_000 }, () => clock.nonce());
  expect(new Set(nonces).size).toBe(1_000);
  expect(nonces.every((nonce) => /^[0-9a-f]{32}$/.test(nonce))).toBe(true);
});
