/**
 * Judges a history. Every violation it reports is one: no freeze, stall or slow write of a candidate can make it
 * cry wolf, since it only compares instants of which the order is certain.
 */

import type { History, HistoryRecord } from "./history.ts";

export interface Violation {
  /** `overlap` is C1 (two valid terms), `token` is C2, `lifecycle` is C6. */
  readonly kind: "overlap" | "token" | "lifecycle";
  readonly message: string;
  /** For an overlap: for how many ms the older term was still claimed after the newer one, at least. */
  readonly ms: number;
}

/** Whether the candidate may have been cut short (SIGKILL), so that its last term has no end. */
export interface CheckOptions {
  readonly killed?: ReadonlySet<string>;
}

/** All violations in the history; none is what every backend promises. */
export function checkHistory(history: History, options: CheckOptions = {}): Violation[] {
  return [
    ...checkMutualExclusion(history),
    ...checkTokens(history),
    ...checkLifecycle(history, options.killed ?? new Set()),
  ];
}

/**
 * C1: a claim under token k that begins after a claim under a greater token has ended. The newer term was valid at
 * some instant of its claim, the older one at a later instant: so the older one outlived its successor's beginning.
 */
export function checkMutualExclusion(history: History): Violation[] {
  const claims = history.filter((record) => record.kind === "claim" && record.valid);
  const byBegin = claims.toSorted((a, b) => a.from - b.from);
  const byEnd = claims.toSorted((a, b) => a.to - b.to);
  const overlaps = new Map<string, { older: HistoryRecord; newer: HistoryRecord; claims: number }>();
  /** The first claim of the highest token seen so far. */
  let newest: HistoryRecord | undefined;
  let ended = 0;
  for (const claim of byBegin) {
    for (let next = byEnd[ended]; next !== undefined && next.to < claim.from; next = byEnd[++ended]) {
      if (newest === undefined || next.token > newest.token) newest = next;
    }
    if (newest === undefined || claim.token >= newest.token) continue;
    const pair = `${claim.token} ${newest.token}`;
    overlaps.set(pair, { older: claim, newer: newest, claims: (overlaps.get(pair)?.claims ?? 0) + 1 });
  }
  return [...overlaps.values()].map(({ older, newer, claims: count }) => {
    const ms = (older.from - newer.to) / 1e6;
    return {
      kind: "overlap",
      ms,
      message:
        `${older.candidate} claimed to lead under token ${older.token} ${count} times, up to ${ms.toFixed(3)} ms ` +
        `after ${newer.candidate} had claimed to lead under token ${newer.token}`,
    };
  });
}

/** C2: one token for one term, and a term whose campaign began after another was elected has the greater token. */
export function checkTokens(history: History): Violation[] {
  const violations: Violation[] = [];
  const terms = history.filter((record) => record.kind === "elected");
  const owners = new Map<bigint, HistoryRecord>();
  for (const term of terms) {
    const other = owners.get(term.token);
    if (other !== undefined) {
      violations.push(
        token(`${other.candidate} and ${term.candidate} were both elected with token ${term.token}`),
      );
    }
    owners.set(term.token, term);
    if (term.token <= 0n || term.token >= 2n ** 63n) {
      violations.push(
        token(`${term.candidate} was elected with token ${term.token}, which is not in 1 … 2⁶³ − 1`),
      );
    }
  }
  const byBegin = terms.toSorted((a, b) => a.from - b.from);
  const byElection = terms.toSorted((a, b) => a.to - b.to);
  let highest: HistoryRecord | undefined;
  let elected = 0;
  for (const term of byBegin) {
    for (
      let next = byElection[elected];
      next !== undefined && next.to < term.from;
      next = byElection[++elected]
    ) {
      if (highest === undefined || next.token > highest.token) highest = next;
    }
    if (highest === undefined || term.token > highest.token) continue;
    violations.push(
      token(
        `${term.candidate} was elected with token ${term.token}, although it began to campaign after ` +
          `${highest.candidate} was elected with token ${highest.token}`,
      ),
    );
  }
  return violations;
}

/** C6: a term is elected once and lost once, in that order, aborted no later than lost, and not valid afterwards. */
export function checkLifecycle(history: History, killed: ReadonlySet<string>): Violation[] {
  const violations: Violation[] = [];
  const candidates = Map.groupBy(history, (record) => record.candidate);
  for (const [candidate, records] of candidates) {
    const terms = new Map<
      bigint,
      { elected: number; aborted: number; lost: number; validAfterLost: number }
    >();
    let closed = false;
    for (const record of records) {
      if (closed && record.kind !== "claim") {
        violations.push(lifecycle(`${candidate} said "${record.kind}" after it was closed`));
      }
      if (record.kind === "closed") closed = true;
      if (record.kind === "closed" || record.kind === "campaign" || record.token === 0n) continue;
      const term = terms.get(record.token) ?? { elected: 0, aborted: 0, lost: 0, validAfterLost: 0 };
      terms.set(record.token, term);
      if (record.kind !== "claim") term[record.kind] += 1;
      else if (record.valid && term.lost > 0) term.validAfterLost += 1;
      const of = `${candidate}, term ${record.token}`;
      if (record.kind === "lost" && term.elected === 0)
        violations.push(lifecycle(`${of}: lost before elected`));
      if (record.kind === "lost" && term.aborted === 0)
        violations.push(lifecycle(`${of}: lost before its signal aborted`));
    }
    for (const [number, term] of terms) {
      const of = `${candidate}, term ${number}`;
      if (term.elected !== 1) violations.push(lifecycle(`${of}: elected ${term.elected} times`));
      if (term.lost > 1) violations.push(lifecycle(`${of}: lost ${term.lost} times`));
      if (term.validAfterLost > 0) violations.push(lifecycle(`${of}: valid after it was lost`));
      const over = closed || [...terms.keys()].at(-1) !== number;
      if (term.lost === 0 && over && !killed.has(candidate)) violations.push(lifecycle(`${of}: never lost`));
    }
  }
  return violations;
}

function token(message: string): Violation {
  return { kind: "token", message, ms: 0 };
}

function lifecycle(message: string): Violation {
  return { kind: "lifecycle", message, ms: 0 };
}
