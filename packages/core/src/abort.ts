/** Abort signals that live as long as the process, without leaving listeners behind. */

/**
 * Calls `aborted` once when the signal aborts, at once if it has. The returned function takes the listener off.
 * (`AbortSignal.any` is not used: it leaks with long-lived signals, nodejs/node#54614.)
 */
export function onAbort(signal: AbortSignal | undefined, aborted: (reason: unknown) => void): () => void {
  const listener = (): void => aborted(signal?.reason);
  if (signal?.aborted === true) listener();
  else signal?.addEventListener("abort", listener, { once: true });
  return () => signal?.removeEventListener("abort", listener);
}

/** Aborts with the first of two to abort, until it is let go of. */
export function firstAbort(
  ...signals: readonly (AbortSignal | undefined)[]
): readonly [first: AbortSignal, letGo: () => void] {
  const first = new AbortController();
  const unlisten = signals.map((signal) => onAbort(signal, (reason) => first.abort(reason)));
  return [first.signal, () => unlisten.forEach((off) => off())];
}

/** Settles like `work`, but rejects with the signal's reason when that comes first. `work` goes on unheard. */
export async function raceAbort<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const unlisten = onAbort(signal, aborted.reject);
  return Promise.race([work, aborted.promise]).finally(unlisten);
}
