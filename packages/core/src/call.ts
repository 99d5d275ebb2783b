/** Every call to an adapter goes through here, so that none can last longer than it may. */

import { onAbort } from "./abort.ts";
import type { Clock } from "./clock.ts";
import type { Call } from "./port.ts";

/** The reason with which a call's signal aborts when its time is up. */
class TimedOut extends Error {
  constructor(timeoutMs: number) {
    super(`no answer within ${Math.round(timeoutMs)} ms`);
    this.name = "TimeoutError";
  }
}

/**
 * Runs one port call with a limit. Past the limit, or when `signal` aborts, the adapter is told through the call's
 * own signal and we stop waiting: an adapter that hangs costs us nothing but this call.
 *
 * `late` hears an answer that comes after we stopped waiting, for calls whose answer must not be dropped.
 */
export async function bounded<T>(
  clock: Clock,
  timeoutMs: number,
  work: (call: Call) => Promise<T>,
  options: { signal?: AbortSignal | undefined; late?: (answer: T) => void } = {},
): Promise<T> {
  const limit = Math.max(1, timeoutMs);
  const controller = new AbortController();
  let waiting = true;
  let giveUp: (reason: unknown) => void = () => {};
  const overdue = new Promise<never>((_, reject) => {
    giveUp = (reason) => {
      waiting = false;
      controller.abort(reason);
      // A user abort reason is passed on untouched, whatever it is.
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors
      reject(reason);
    };
  });
  const timer = clock.timer(limit, () => giveUp(new TimedOut(limit)));
  const unlisten = onAbort(options.signal, giveUp);
  try {
    // `overdue` first: with an aborted signal the work is not even begun.
    if (controller.signal.aborted) return await overdue;
    const answer = begin(work, { signal: controller.signal, timeoutMs: limit });
    void answer.then(
      (value) => void (waiting || options.late?.(value)),
      () => {},
    );
    return await Promise.race([answer, overdue]);
  } finally {
    waiting = false;
    timer.cancel();
    unlisten();
    overdue.catch(() => {});
  }
}

/** An adapter that throws synchronously has rejected. */
async function begin<T>(work: (call: Call) => Promise<T>, call: Call): Promise<T> {
  return work(call);
}
