// Waiting for what must come, on a machine that may be busy: not for ever, and then saying what did not come.
import { setTimeout as sleep } from "node:timers/promises";

const patienceMs = 60_000;

/** Settles like `work`, if that is in time. */
export async function within<T>(what: string, work: Promise<T>): Promise<T> {
  const alarm = new AbortController();
  const late = sleep(patienceMs, undefined, { signal: alarm.signal }).then(() => {
    throw tooLate(what);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    late.catch(() => {});
    alarm.abort();
  }
}

/** Looks again and again, until something is found; a look that fails has found nothing. */
export async function until<T>(
  what: string | (() => string),
  found: () => T | undefined | Promise<T | undefined>,
  everyMs = 100,
): Promise<T> {
  const look = async (): Promise<T | undefined> => found();
  for (const late = performance.now() + patienceMs; performance.now() < late; await sleep(everyMs)) {
    const answer = await look().catch(() => undefined);
    if (answer !== undefined) return answer;
  }
  throw tooLate(typeof what === "string" ? what : what());
}

function tooLate(what: string): Error {
  return new Error(`not within ${patienceMs / 1000} s: ${what}`);
}
