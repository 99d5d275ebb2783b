import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkHistory, checkLifecycle, checkMutualExclusion, checkTokens } from "../src/checker.ts";
import type { History, HistoryRecord, RecordKind } from "../src/history.ts";

const ms = 1e6;

function record(
  kind: RecordKind,
  candidate: string,
  at: number,
  token: number,
  over: Partial<HistoryRecord> = {},
): HistoryRecord {
  return {
    kind,
    candidate,
    from: at * ms,
    to: at * ms,
    token: BigInt(token),
    valid: kind === "claim",
    ...over,
  };
}

function claim(candidate: string, from: number, to: number, token: number, valid = true): HistoryRecord {
  return record("claim", candidate, from, token, { to: to * ms, valid });
}

/** A hand-over as it should be: a leads under 1 from 10 to 20, b under 2 from 21 on. */
const clean: History = [
  record("campaign", "a", 0, 0),
  record("elected", "a", 10, 1, { from: 0 }),
  claim("a", 11, 11.1, 1),
  claim("a", 19, 19.1, 1),
  record("aborted", "a", 20, 1),
  record("lost", "a", 20, 1),
  claim("a", 25, 25.1, 1, false),
  record("campaign", "b", 1, 0),
  record("elected", "b", 21, 2, { from: 1 * ms }),
  claim("b", 21, 21.1, 2),
];

describe("C1 mutual exclusion", () => {
  test("a clean hand-over has no overlap", () => {
    expect(checkHistory(clean)).toEqual([]);
  });

  test("finds a claim after the successor's", () => {
    const [violation, ...others] = checkMutualExclusion([
      ...clean,
      claim("a", 22, 22.1, 1),
      claim("a", 24.1, 24.2, 1),
    ]);
    expect(others).toEqual([]);
    expect(violation?.kind).toBe("overlap");
    expect(violation?.ms).toBeCloseTo(3, 1);
    expect(violation?.message).toMatch(/a claimed to lead under token 1 2 times, up to 3\.\d+ ms after b/);
  });

  test("a claim that a freeze stretched over the hand-over is not an overlap", () => {
    expect(checkMutualExclusion([...clean, claim("a", 19.5, 24, 1)])).toEqual([]);
    expect(checkMutualExclusion([...clean, claim("b", 18, 21.05, 2)])).toEqual([]);
  });

  test("finds one among many, whatever the order of the records", () => {
    const planted = [...clean, claim("b", 40, 40.1, 2), claim("c", 50, 50.1, 7), claim("b", 50.2, 50.3, 2)];
    expect(checkMutualExclusion(planted.toReversed()).map(({ message }) => message)).toEqual([
      expect.stringMatching(/^b claimed .* token 2 1 times.* after c .* token 7$/),
    ]);
  });

  test("histories of exact terms are clean under any freeze; any later claim of an old term is found", () => {
    const gaps = fc.array(fc.record({ length: fc.nat(1000), gap: fc.integer({ min: 1, max: 100 }) }), {
      minLength: 2,
      maxLength: 20,
    });
    const sample = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      early: fc.nat(500),
      late: fc.nat(500),
    });
    fc.assert(
      fc.property(gaps, fc.array(sample, { minLength: 1, maxLength: 40 }), (terms, samples) => {
        const history: HistoryRecord[] = [];
        let begin = 0;
        terms.forEach(({ length, gap }, term) => {
          for (const { at, early, late } of samples) {
            // Truly valid at `instant`; the freezes around the check stretch what is recorded.
            const instant = begin + at * length;
            history.push(claim(`p${term % 3}`, instant - early, instant + late, term + 1));
          }
          begin += length + gap;
        });
        expect(checkMutualExclusion(history)).toEqual([]);
        const newest = claim("new", begin, begin + 1, terms.length + 1);
        const stale = claim("old", begin + 1.5, begin + 2, terms.length);
        expect(checkMutualExclusion([...history, newest, stale])).toHaveLength(1);
      }),
    );
  });
});

describe("C2 tokens", () => {
  test("finds a token that two terms share", () => {
    const planted = [...clean, record("elected", "c", 30, 2, { from: 0 })];
    expect(checkTokens(planted)).toMatchObject([
      { kind: "token", message: "b and c were both elected with token 2" },
    ]);
  });

  test("finds a token that went back", () => {
    const planted = [
      ...clean,
      record("elected", "c", 40, 1, { from: 30 * ms }),
      record("elected", "d", 60, 5, { from: 50 * ms }),
    ];
    expect(checkTokens(planted).map(({ message }) => message)).toContainEqual(
      expect.stringMatching(
        /^c was elected with token 1, although it began .* after b was elected with token 2$/,
      ),
    );
  });

  test("does not judge the order of elections that were heard of late", () => {
    // c was granted token 2 before b was granted 3, and was frozen before it could say so.
    const frozen = [record("elected", "b", 20, 3, { from: 0 }), record("elected", "c", 21, 2, { from: 0 })];
    expect(checkTokens(frozen)).toEqual([]);
  });

  test("finds tokens out of range", () => {
    expect(checkTokens([record("elected", "a", 1, 0, { from: 0 })])).toHaveLength(1);
  });
});

describe("C6 lifecycle", () => {
  const of = (...records: HistoryRecord[]) =>
    checkLifecycle(records, new Set()).map(({ message }) => message);
  const term = [record("elected", "a", 1, 1), record("aborted", "a", 2, 1), record("lost", "a", 3, 1)];

  test("one elected, one aborted, one lost", () => {
    expect(of(...term, record("closed", "a", 4, 0))).toEqual([]);
  });

  test.for<[string, HistoryRecord[], string]>([
    ["elected twice", [...term.slice(0, 1), ...term], "a, term 1: elected 2 times"],
    ["lost twice", [...term, record("lost", "a", 4, 1)], "a, term 1: lost 2 times"],
    ["lost and never elected", term.slice(1), "a, term 1: lost before elected"],
    [
      "lost before its signal aborted",
      [term[0]!, term[2]!, term[1]!],
      "a, term 1: lost before its signal aborted",
    ],
    ["valid after lost", [...term, claim("a", 4, 5, 1)], "a, term 1: valid after it was lost"],
    [
      "never lost, though the next term began",
      [term[0]!, record("elected", "a", 5, 2)],
      "a, term 1: never lost",
    ],
    ["never lost, though closed", [term[0]!, record("closed", "a", 5, 0)], "a, term 1: never lost"],
    [
      "something said after it was closed",
      [record("closed", "a", 0, 0), ...term],
      'a said "elected" after it was closed',
    ],
  ])("finds: %s", ([, records, message]) => {
    expect(of(...records)).toContain(message);
  });

  test("a killed candidate may leave its last term open, and a living one too", () => {
    expect(of(...term.slice(0, 1))).toEqual([]);
    expect(checkLifecycle([term[0]!, record("closed", "a", 9, 0)], new Set(["a"]))).toEqual([]);
  });
});
