import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { transition, type Effect, type State, type Step } from "../src/election-state.ts";
import { Violation, World, type CountsFrom, type Transition } from "./model/world.ts";

const runs = Number(process.env["ELECT_PROPERTY_RUNS"] ?? 100_000);
const leastFacts = 30;
const tape = fc.uint8Array({ minLength: 90, maxLength: 120 });

function property(decide: Transition, countsFrom: CountsFrom, visited: Map<string, number> = new Map()) {
  return fc.property(fc.integer({ min: 2, max: 3 }), tape, (candidates, moves) => {
    const world = new World(candidates, decide, countsFrom, visited);
    // A tape that comes to rest early is played again, shifted, so that others move.
    for (let round = 0; round === 0 || (world.facts < leastFacts && round < 50); round++) {
      for (const byte of moves) world.play((byte + round * 37) % 256);
    }
    fc.pre(world.facts >= leastFacts);
  });
}

describe("the transition function, over random histories", () => {
  it(`keeps its promises in ${runs} sequences of ${leastFacts} facts or more`, { timeout: 300_000 }, () => {
    const visited = new Map<string, number>();
    const result = fc.check(property(transition, "sending", visited), { numRuns: runs });
    // fast-check prints the seed and the shrunk counter-example.
    if (result.failed) throw new Error(fc.defaultReportMessage(result), { cause: result.errorInstance });

    expect(result.numRuns).toBe(runs);
    for (const visit of mustVisit) expect(visited.get(visit) ?? 0, visit).toBeGreaterThan(runs / 5_000);
  });
});

/** The random histories must get this far, each of them many times, or the test above shows nothing. */
const mustVisit = [
  "idle --campaign--> campaigning",
  "campaigning --granted--> leading",
  "campaigning --granted--> campaigning",
  "campaigning --refused--> idle",
  "campaigning --abandon--> withdrawing",
  "campaigning --close--> withdrawing",
  "withdrawing --granted--> withdrawing",
  "withdrawing --released--> idle",
  "withdrawing --released--> closed",
  "leading --doubt--> leading",
  "leading --certain--> leading",
  "leading --look--> idle",
  "leading --session-ended--> idle",
  "leading --record-lost--> idle",
  "leading --end--> draining",
  "leading --close--> draining",
  "leading --work-done--> releasing",
  "draining --work-done--> releasing",
  "draining --look--> idle",
  "draining --session-ended--> closed",
  "releasing --released--> idle",
  "releasing --released--> closed",
];

interface Bug {
  readonly decide?: Transition;
  readonly countsFrom?: CountsFrom;
  readonly violation: RegExp;
}

describe("the model can see: each planted bug is found", () => {
  const planted: Record<string, Bug> = {
    "the deadline counted from the reply": {
      countsFrom: "reply",
      violation: /both valid|token did not rise/,
    },
    "validity as a flag: no look at the clock": {
      decide: (state, fact, now) => transition(withoutDeadline(state), fact, now),
      violation: /both valid/,
    },
    "released before the work ended": {
      decide: (state, fact, now) => {
        const step = transition(state, fact, now);
        if (state.phase !== "leading" || step.state.phase !== "draining") return step;
        return transition(step.state, { kind: "work-done" }, now);
      },
      violation: /running work/,
    },
    "a grant taken after the candidate gave up": {
      decide: (state, fact, now) => {
        if (fact.kind !== "granted" || state.phase !== "withdrawing") return transition(state, fact, now);
        return transition({ phase: "campaigning", nonce: state.nonce }, fact, now);
      },
      violation: /after close or abandon/,
    },
    "lost said twice": {
      decide: (state, fact, now) => twice(transition(state, fact, now)),
      violation: /lost without elected, or twice/,
    },
  };
  for (const [name, { decide = transition, countsFrom = "sending", violation }] of Object.entries(planted)) {
    // Found within seconds; the limit is so far off that missing it by chance is out of the question.
    it(name, { timeout: 300_000 }, () => {
      const result = fc.check(property(decide, countsFrom), { numRuns: 1_000_000, endOnFailure: true });
      expect(result.failed).toBe(true);
      expect(result.errorInstance).toBeInstanceOf(Violation);
      expect(String(result.errorInstance)).toMatch(violation);
    });
  }
});

function withoutDeadline(state: State): State {
  if (state.phase !== "leading" && state.phase !== "draining") return state;
  return { ...state, lease: { validUntil: Infinity } };
}

function twice(step: Step): Step {
  const effects = step.effects.flatMap((effect): Effect[] =>
    effect.kind === "lost" ? [effect, effect] : [effect],
  );
  return { ...step, effects };
}
