/**
 * Waiting for one's turn, without sleeping in the event loop and without a timer.
 *
 * A transaction of ours begins and ends within one turn of the event loop and holds its lock for as long as the disk
 * takes to make it durable: about a millisecond. So whoever finds the database busy looks again after a round trip
 * through the thread pool, then after two, three, …: about 50 ms in all. Who is still busy then may be stopped in
 * the middle of a commit, and it is for core to wait longer.
 */

import { stat } from "node:fs/promises";
import type { Call } from "@elect/core/adapter";
import { isBusy } from "./errors.ts";

const patience = 40;

/** Runs `attempt`, which begins and ends a transaction, until it is not refused for being busy, or was too often. */
export async function whenFree<T>(
  path: string,
  call: Call,
  attempt: () => T,
  limit: number = patience,
): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    call.signal.throwIfAborted();
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error) || attempts === limit) throw error;
    }
    for (let trips = 0; trips < attempts; trips++) await roundTrip(path);
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

/** Asks the file system something that costs little: tens of microseconds during which others get the processor. */
async function roundTrip(path: string): Promise<void> {
  await stat(path).catch(() => {});
}
