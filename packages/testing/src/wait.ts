/** Waiting, in the one place of this package that sets timers for it. Tests await events; these bound the waiting. */

import { setTimeout as delay } from "node:timers/promises";

/** Nanoseconds on the clock that all processes of a host share (exact up to 104 days of uptime, then to 2 ns). */
export function hostNow(): number {
  return Number(process.hrtime.bigint());
}

/** Only for letting a stated time pass; to wait for something, await it {@link within} a bound. */
export async function pass(ms: number): Promise<void> {
  await delay(ms);
}

/** Settles like `work`, or rejects after `ms` with what it was that did not happen. */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  const alarm = new AbortController();
  const late = delay(ms, undefined, { signal: alarm.signal }).then(
    () => {
      throw new Error(`not within ${ms} ms: ${what}`);
    },
    (): Promise<never> => new Promise(() => {}),
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    alarm.abort();
  }
}

/** Asks again every few milliseconds until the answer is neither `undefined` nor `false`; for what cannot be awaited. */
export async function eventually<T>(
  ms: number,
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const until = performance.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() >= until) throw new Error(`not within ${ms} ms: ${what}`);
    await delay(20);
  }
}
