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
  const overdue = Promise.withResolvers<never>();
  overdue.promise.catch(() => {});
  const giveUp = (reason: unknown): void => {
    controller.abort(reason);
    overdue.reject(reason);
  };
  const timer = clock.timer(limit, () =>
    giveUp(new DOMException(`no answer within ${Math.round(limit)} ms`, "TimeoutError")),
  );
  const unlisten = onAbort(options.signal, giveUp);
  try {
    // With an aborted signal the work is not even begun.
    if (signal.aborted) return await overdue.promise;
    // An adapter that throws synchronously has rejected.
    const answer = (async () => work({ signal, timeoutMs: limit }))();
    answer.then(
      (value) => void (signal.aborted && options.late?.(value)),
      () => {},
    );
    return await Promise.race([answer, overdue.promise]);
  } finally {
    timer.cancel();
    unlisten();
  }
}
