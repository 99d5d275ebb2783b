import type { Clock } from "./clock.ts";

/** Settles with the event, or after so many ms if that is sooner. The process stays for it unless `awaited` is false. */
export async function within(clock: Clock, ms: number, event: Promise<void>, awaited = true): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = clock.timer(ms, resolve);
  if (!awaited) timer.unref();
  await Promise.race([event, promise]).finally(() => timer.cancel());
}
