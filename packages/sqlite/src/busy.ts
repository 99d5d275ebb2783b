/**
 * Waiting for one's turn, without sleeping in the event loop (as SQLite's own busy handler does).
 *
 * A transaction of ours begins and ends within one turn of the event loop and holds its lock for as long as the disk
 * takes to make it durable: about a millisecond. So whoever finds the database busy looks again after one, two, four …
 * milliseconds, until the call's time is up: then somebody was probably stopped in the middle of a commit.
 */

import type { Call } from "@elect/core/adapter";
import { isBusy } from "./errors.ts";
import { pause } from "./host-clock.ts";

const longestPauseMs = 10;

/** Runs `attempt`, which begins and ends a transaction, until it is not refused for being busy. */
export async function whenFree<T>(call: Call, attempt: () => T, patienceMs: number = Infinity): Promise<T> {
  const limit = Math.min(patienceMs, call.timeoutMs);
  for (let pauseMs = 1, waited = 0; ; waited += pauseMs, pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    call.signal.throwIfAborted();
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error) || waited >= limit) throw error;
    }
    await pause(pauseMs);
  }
}

/** About half a millisecond: longer than a reader takes, unless it was put aside by a busy machine. */
const turns = 100;

/**
 * Tries again at once. For steps that only a reader can be in the way of: readers are gone after microseconds, and
 * while we hold the pending lock no new one comes.
 */
export function atOnce<T>(attempt: () => T): T {
  for (let attempts = 1; ; attempts++) {
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error) || attempts === turns) throw error;
    }
  }
}
