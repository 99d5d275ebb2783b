/** How long nobody led, and whether the faults of that time account for it. */

import type { Capabilities } from "@elect/core";
import type { History } from "./history.ts";

/** What was done to a candidate. Times are nanoseconds on the host's clock. */
export interface FaultRecord {
  readonly kind: "kill" | "stop" | "stall";
  /** One process incarnation. */
  readonly candidate: string;
  readonly from: number;
  /** When it could run again; for a `kill`, the same instant. */
  readonly to: number;
}

/** Whom the store named as leader, from this instant on. */
export interface SeenLeader {
  readonly candidate: string | null;
  readonly at: number;
}

/** A time without a leader: from the last claim of one to the first of the next. */
export interface Gap {
  readonly from: number;
  readonly ms: number;
  /** The kind of the last fault that may have prolonged it; `null` if nothing was done to whoever led or was about to. */
  readonly cause: FaultRecord["kind"] | null;
  /** What the backend's bounds allow, the slack not included. */
  readonly allowedMs: number;
}

export interface Bounds {
  readonly ttl: number;
  readonly capabilities: Pick<Capabilities, "crash" | "stopped">;
}

/** Shorter than this is not "nobody leads": claims are made every few milliseconds, on a busy machine more rarely. */
const shortest = 50e6;

/** All gaps between `begin` and `end`. */
export function findGaps(
  history: History,
  faults: readonly FaultRecord[],
  seen: readonly SeenLeader[],
  { ttl, capabilities }: Bounds,
): Gap[] {
  const crashMs = capabilities.crash.ttls * ttl + capabilities.crash.plusMs;
  const until = (fault: FaultRecord): number => {
    if (fault.kind === "kill") return fault.from + crashMs * 1e6;
    const { stopped } = capabilities;
    // Where a stopped leader keeps its place, everybody waits for it to run again, and to find that it is late.
    if (stopped === null) return fault.to + crashMs * 1e6;
    return fault.from + (stopped.ttls * ttl + stopped.plusMs) * 1e6;
  };
  const claims = history
    .filter(({ kind, valid }) => kind === "claim" && valid)
    .toSorted((a, b) => a.from - b.from);
  const gaps: Gap[] = [];
  let last = claims[0];
  for (const claim of claims) {
    if (last !== undefined && claim.from - last.to > shortest) {
      const [from, to] = [last.to, claim.from];
      // Whoever led when it began, and whoever the store called the leader meanwhile without ever saying so itself.
      const involved = new Set([last.candidate, claim.candidate]);
      for (const { candidate, at } of seen)
        if (candidate !== null && at > from - 1e9 && at < to) involved.add(candidate);
      const relevant = faults.filter(
        (fault) => involved.has(fault.candidate) && fault.from < to && fault.to >= from - ttl * 1e6,
      );
      const latest = relevant.toSorted((a, b) => until(b) - until(a))[0];
      const allowed = Math.max(from + crashMs * 1e6, latest === undefined ? 0 : until(latest));
      gaps.push({
        from,
        ms: (to - from) / 1e6,
        cause: latest?.kind ?? null,
        allowedMs: (allowed - from) / 1e6,
      });
    }
    if (last === undefined || claim.to > last.to) last = claim;
  }
  return gaps;
}
