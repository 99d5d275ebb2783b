/** Every call to an adapter goes through here, so that none can last longer than it may. */

import { onAbort } from "./abort.ts";
import type { Clock } from "./clock.ts";
import type { Call } from "./port.ts";

/**
 * Runs one port call with a limit. Past the limit (with a `TimeoutError`), or when `signal` aborts, the adapter is told
 * through the call's own signal and we stop waiting: an adapter that hangs costs us nothing but this call.
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
  const { signal } = controller;
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const giveUp = (reason: unknown): void => {
    controller.abort(reason);
    reject(reason);
  };
  const timer = clock.timer(limit, () =>
    giveUp(new DOMException(`no answer within ${Math.round(limit)} ms`, "TimeoutError")),
  );
  const unlisten = onAbort(options.signal, giveUp);
  // With an aborted signal the work is not even begun. An adapter that throws synchronously has rejected.
  if (!signal.aborted)
    (async () => work({ signal, timeoutMs: limit }))().then(
      // Either late or returned, never both: whoever lets go of a late answer must be its only owner.
      (value) => (signal.aborted ? options.late?.(value) : resolve(value)),
      reject,
    );
  try {
    return await promise;
  } finally {
    timer.cancel();
    unlisten();
  }
}

/** Settles after so many ms, or as soon as the signal aborts: a call that nobody answers. */
export async function rest(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  await bounded(clock, ms, () => Promise.race([]), { signal }).catch(() => {});
}
