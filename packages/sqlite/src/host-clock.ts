/**
 * The clock of the host: one origin for all its processes, so that one can say until when it may be believed and
 * another can see that this has passed. Core's clock counts from the start of the process and cannot.
 *
 * It decides only when *another* process may be replaced. How long our own term is valid is core's business: counted
 * from before the lease was written, by the same CLOCK_MONOTONIC, less a margin, so it always ends first.
 * The clock stands still while the machine is suspended, and so does everybody who could read it.
 */

import { readFileSync, readlinkSync } from "node:fs";

export interface HostClock {
  /** Two processes may compare their readings if, and only if, these are equal. */
  readonly id: string;
  /** Milliseconds since some moment that all processes with this `id` share. */
  now(): number;
}

/**
 * libuv reads CLOCK_MONOTONIC on Linux, the continuous clock on macOS, the performance counter on Windows: all of them
 * the same for every process of the running system, unless a container was given a time namespace of its own.
 */
export const hostClock: HostClock = {
  id: process.platform === "linux" ? `${bootId()} ${timeNamespace()}` : process.platform,
  // The rule that only core reads clocks keeps deadlines in one place; this reading is never a deadline of ours.
  // oxlint-disable-next-line no-restricted-properties
  now: () => Number(process.hrtime.bigint() / 1_000_000n),
};

/**
 * Lets others go first. An adapter has no timers, so that core can be run in simulated time; this one takes the place of the
 * sleep in SQLite's busy handler, lasts milliseconds, and decides nothing. Without it, processes that wait for a lock
 * have to ask for it again and again, and take the processor from the one that holds it.
 */
export function pause(ms: number): Promise<void> {
  // oxlint-disable-next-line no-restricted-globals
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

function bootId(): string {
  return attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
}

function timeNamespace(): string {
  return attempt(() => readlinkSync("/proc/self/ns/time"));
}

function attempt(read: () => string): string {
  try {
    return read();
  } catch {
    return "unknown";
  }
}
