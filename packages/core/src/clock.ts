/**
 * Time and randomness: the only file of the project that touches the clocks, timers and random numbers of the
 * machine (a lint rule sees to it), so that everything else can be run in simulated time.
 */

import { randomBytes } from "node:crypto";
import { uptime } from "node:os";

/** What core knows of time. `@elect/testing` has one that is moved by hand. */
export interface Clock {
  /**
   * Milliseconds that have passed since some fixed moment, including time in which the machine was suspended.
   * Never goes back. Says nothing about the time of day.
   */
  now(): number;
  /** Calls `fire` once, `ms` from now at the earliest. Late after a suspend or a stall: timers are not clocks. */
  timer(ms: number, fire: () => void): Timer;
  /** A number in [0, 1). */
  random(): number;
  /** 128 random bits in hexadecimal: the name of one session, campaign or candidate. */
  nonce(): string;
}

export interface Timer {
  cancel(): void;
  /** Lets the process exit although the timer is still to come. */
  unref(): void;
}

/** The longest delay that a timer of Node takes; a longer one would fire at once. */
const longestTimer = 2 ** 31 - 1;

/**
 * How far wall and monotonic time may drift apart before we suspect a suspend and look at the boot clock.
 * Must stay below the smallest margin of a lease (see `lease.ts`), which covers what goes unnoticed.
 */
const suspicion = 50;

/** `/proc/uptime` counts hundredths of a second. */
const bootGranularity = 10;

/**
 * Linux stops the monotonic clock while the machine is suspended, and the store's lease runs on. The clock that
 * goes on (CLOCK_BOOTTIME, `/proc/uptime`) costs a system call, so it is read only when the wall clock has moved
 * against the monotonic one, which every suspend does. On macOS and Windows the monotonic clock goes on.
 */
export class MachineClock implements Clock {
  readonly #monotonic: () => number;
  readonly #wall: () => number;
  readonly #boot: (() => number) | null;
  readonly #bootOffset: number;
  #wallOffset: number;
  #suspended = 0;

  constructor(
    monotonic: () => number = () => performance.now(),
    wall: () => number = () => Date.now(),
    boot: (() => number) | null = process.platform === "linux" ? readBootClock : null,
  ) {
    this.#monotonic = monotonic;
    this.#wall = wall;
    this.#boot = boot;
    this.#wallOffset = wall() - monotonic();
    this.#bootOffset = boot === null ? 0 : boot() - monotonic();
  }

  now(): number {
    const monotonic = this.#monotonic();
    if (this.#boot !== null) {
      const wallOffset = this.#wall() - monotonic;
      if (Math.abs(wallOffset - this.#wallOffset) > suspicion) {
        this.#wallOffset = wallOffset;
        const asleep = this.#boot() - monotonic - this.#bootOffset;
        // Rounded up by the granularity: a lease may look a little older than it is, never younger.
        if (asleep - bootGranularity > this.#suspended) this.#suspended = asleep + bootGranularity;
      }
    }
    return monotonic + this.#suspended;
  }

  timer(ms: number, fire: () => void): Timer {
    // Node warns of a moment that has passed.
    const handle = setTimeout(fire, Math.max(0, Math.min(ms, longestTimer)));
    return { cancel: () => clearTimeout(handle), unref: () => void handle.unref() };
  }

  random(): number {
    return Math.random();
  }

  nonce(): string {
    return randomBytes(16).toString("hex");
  }
}

function readBootClock(): number {
  return uptime() * 1000;
}

/** One clock for the process: every deadline of it is read off the same one. */
export const machineClock: Clock = new MachineClock();
