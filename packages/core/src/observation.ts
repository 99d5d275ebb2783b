/** Who leads, for those who only look on. */

import { firstAbort, onAbort } from "./abort.ts";
import type { Inside } from "./backend.ts";
import { bounded, rest } from "./call.ts";
import { publish } from "./diagnostics.ts";
import { ElectError, UnreachableError } from "./errors.ts";
import { about, backOff } from "./jitter.ts";
import type { Metadata } from "./options.ts";
import { within } from "./within.ts";
import type { Call, CandidateRecord, LeaderRecord, Watch } from "./port.ts";

/** A candidate as others see it. */
export interface Candidate {
  readonly id: string;
  readonly metadata: Metadata;
}

/** The leader as others see it: what the store says, which may already be history. */
export interface Leader extends Candidate {
  readonly token: bigint;
}

/** How long one look may take, in ms. */
const lookLimit = 5_000;

export async function readLeader(
  inside: Inside,
  election: string,
  signal: AbortSignal,
): Promise<Leader | null> {
  const record = await ask(inside, election, "who leads", signal, (call) =>
    inside.adapter.read(election, call),
  );
  return record === null ? null : leader(record);
}

export async function readCandidates(
  inside: Inside,
  election: string,
  signal: AbortSignal,
): Promise<Candidate[]> {
  const records = await ask(inside, election, "the candidates", signal, (call) =>
    inside.adapter.candidates(election, call),
  );
  return records.map(candidate);
}

/**
 * The leader now, then each change. Conflated: a slow reader gets the newest, never a backlog; so it may not see
 * every leader, but it never sees them out of order. `null` when there is none. While the store is away nothing
 * comes; it goes on by itself.
 */
export async function* observeLeader(
  { adapter, clock }: Inside,
  election: string,
  signal: AbortSignal | undefined,
  closed: AbortSignal,
): AsyncGenerator<Leader | null, void, undefined> {
  const [stop, letGo] = firstAbort(signal, closed);
  let change = Promise.withResolvers<void>();
  onAbort(stop, () => change.resolve());
  const pause = (ms: number): Promise<void> => within(clock, ms, change.promise);
  const isStopped = (): boolean => stop.aborted;
  const look = <T>(work: (call: Call) => Promise<T>, late: (answer: T) => void = () => {}): Promise<T> =>
    bounded(clock, lookLimit, work, { signal: stop, late });
  let watch: Watch | null = null;
  /** The token of the leader that was told last; `null`: that there is none. */
  let last: bigint | null | undefined;
  let highest = 0n;
  let failures = 0;
  try {
    while (!isStopped()) {
      try {
        // First watch, then read: what changes in between is read again.
        watch ??= await look(
          (call) => adapter.watch(election, () => change.resolve(), call),
          (late) => late.close(),
        );
        if (!isStopped()) change = Promise.withResolvers();
        const record = await look((call) => adapter.read(election, call));
        const seen = record === null ? null : leader(record);
        failures = 0;
        const token = seen?.token ?? null;
        // A stale answer about an older term is not news.
        if (token !== last && (token ?? highest) >= highest) {
          last = token;
          highest = token ?? highest;
          yield seen;
        }
        await pause(about(clock, watch.pollMs));
      } catch (error) {
        if (isStopped()) break;
        publish("trouble", () => ({ store: adapter.address, during: "observe", error }));
        watch?.close();
        watch = null;
        change = Promise.withResolvers();
        await pause(backOff(clock, failures++, lookLimit));
      }
    }
    signal?.throwIfAborted();
  } finally {
    letGo();
    watch?.close();
  }
}

/** Asks until there is an answer, for as long as one look may take: a connection may have died while nobody used it. */
async function ask<T>(
  { adapter, clock }: Inside,
  election: string,
  what: string,
  signal: AbortSignal,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  const until = clock.now() + lookLimit;
  for (let failures = 0; ; failures++) {
    try {
      return await bounded(clock, until - clock.now(), work, { signal });
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof ElectError) throw cause;
      const pause = backOff(clock, failures, 1_000);
      if (clock.now() + pause >= until) {
        const message = `Election "${election}" on ${adapter.address}: the store did not say ${what}. See the cause; try again later.`;
        throw new UnreachableError(message, { cause });
      }
      await rest(clock, pause, signal);
    }
  }
}

function leader(record: LeaderRecord): Leader {
  return { ...candidate(record), token: record.token };
}

function candidate(record: CandidateRecord): Candidate {
  return { id: record.id, metadata: parse(record.metadata) };
}

/** Other versions and other programs may have written it: what is not JSON is shown as it is. */
function parse(metadata: string): Metadata {
  try {
    return JSON.parse(metadata) as Metadata;
  } catch {
    return metadata;
  }
}
