/**
 * One candidate's election as a pure function: (state, fact, now) → (state, effects). All that may ever happen to
 * a candidate is decided here, and nowhere else; so it can be run through hundreds of thousands of random
 * histories (`test/election-state.property.test.ts`).
 *
 *          campaign            granted                end                work-done           released
 *   idle ───────────▶ campaigning ─────▶ leading ─────────────▶ draining ─────────▶ releasing ─────────▶ idle
 *    ▲                   │ abandon          │ expired, session ended,  │                                    or
 *    │  released         ▼                  ▼ record lost              ▼                                closed
 *    └─────────────── withdrawing         idle ◀───────────────────────┘
 *
 * Invariants, whatever the order of facts:
 * - `elected` is said at most once for a grant and never after `close` or `abandon`;
 * - `lost` is said exactly once for each `elected`, before its record is given back;
 * - a term is valid only in `leading` and `draining`, and only while `now < lease.validUntil`;
 * - nothing is given back while work runs: `release` follows `work-done`, never precedes it.
 */

import type { Validity } from "./lease.ts";

/** What a user sees: `election.state`. */
export type PublicState = "idle" | "campaigning" | "leading" | "uncertain" | "draining" | "closed";

/**
 * Why a term ended: `resigned` (you asked, or your function returned), `aborted` (your signal), `closed`,
 * `expired` (no proof was acknowledged in time), `session-ended` (the store said that the session is over),
 * `record-lost` (the store said that the record is gone or somebody else's).
 */
export type LossReason = "resigned" | "aborted" | "closed" | "expired" | "session-ended" | "record-lost";

type Afterwards = "idle" | "closed";

interface Held {
  readonly nonce: string;
  readonly token: bigint;
  readonly lease: Validity;
  /** False from a failed proof or a lost link until the next acknowledged proof. */
  readonly certain: boolean;
}

export type State =
  | { readonly phase: "idle" }
  | { readonly phase: "campaigning"; readonly nonce: string }
  /** Gave up; the store still has to forget the nonce, so that it cannot win later. */
  | { readonly phase: "withdrawing"; readonly nonce: string; readonly then: Afterwards }
  | ({ readonly phase: "leading" } & Held)
  /** Told to stop and still valid: the signal is aborted, the work winds up, the session goes on being proven. */
  | ({ readonly phase: "draining"; readonly reason: LossReason; readonly then: Afterwards } & Held)
  /** The work is over and the term is not valid any more; its record is being given back. */
  | { readonly phase: "releasing"; readonly nonce: string; readonly token: bigint; readonly then: Afterwards }
  | { readonly phase: "closed" };

type Holding = State & { readonly phase: "leading" | "draining" };

export type Fact =
  | { readonly kind: "campaign"; readonly nonce: string }
  | { readonly kind: "granted"; readonly nonce: string; readonly token: bigint; readonly lease: Validity }
  | { readonly kind: "refused"; readonly nonce: string; readonly error: Error }
  | { readonly kind: "abandon"; readonly reason: unknown }
  | { readonly kind: "doubt" }
  | { readonly kind: "certain" }
  /** Nothing happened but time: look at the clock. */
  | { readonly kind: "look" }
  | { readonly kind: "record-lost"; readonly nonce: string; readonly detail: string }
  | { readonly kind: "session-ended"; readonly lease: Validity; readonly detail: string }
  | { readonly kind: "end"; readonly reason: "resigned" | "aborted" }
  | { readonly kind: "work-done" }
  | { readonly kind: "released"; readonly nonce: string }
  | { readonly kind: "close"; readonly reason: Error };

export type Effect =
  | { readonly kind: "claim"; readonly nonce: string }
  /** See to it that the nonce neither holds nor waits, then report `released`. */
  | { readonly kind: "release"; readonly nonce: string }
  | { readonly kind: "elected"; readonly token: bigint; readonly lease: Validity }
  /** Abort the term's signal: stop. */
  | { readonly kind: "stop"; readonly reason: LossReason; readonly detail: string }
  /** Wait for the work, up to the drain limit; then report it. */
  | { readonly kind: "drain" }
  | { readonly kind: "lost"; readonly token: bigint; readonly reason: LossReason }
  /** Settle the waiting `campaign()`. */
  | { readonly kind: "reject"; readonly reason: unknown };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

export const initial: State = { phase: "idle" };

export function transition(before: State, fact: Fact, now: number): Step {
  // First of all the clock: after a stall of any length, whatever comes first finds the term already over.
  const expired = expire(before, now);
  const { state, effects } = react(expired.state, fact, now);
  return { state, effects: [...expired.effects, ...effects] };
}

/** Whether the term that the state holds may be acted on. */
export function isValid(state: State, now: number): boolean {
  return (state.phase === "leading" || state.phase === "draining") && now < state.lease.validUntil;
}

export function publicState(state: State): PublicState {
  if (state.phase === "leading" && !state.certain) return "uncertain";
  if (state.phase === "withdrawing") return state.then;
  return state.phase === "releasing" ? "draining" : state.phase;
}

function expire(state: State, now: number): Step {
  if (state.phase !== "leading" && state.phase !== "draining") return step(state);
  if (now < state.lease.validUntil) return step(state);
  return lose(state, "expired", "no proof was acknowledged in time");
}

function react(state: State, fact: Fact, now: number): Step {
  // A grant that nobody waits for any more is given back, in every state: no phantom winners.
  if (fact.kind === "granted" && !(state.phase === "campaigning" && state.nonce === fact.nonce)) {
    const ours = "nonce" in state && state.nonce === fact.nonce && state.phase !== "withdrawing";
    return ours ? step(state) : step(state, { kind: "release", nonce: fact.nonce });
  }
  switch (state.phase) {
    case "idle":
      return reactIdle(state, fact);
    case "campaigning":
      return reactCampaigning(state, fact, now);
    case "leading":
      return reactLeading(state, fact);
    case "draining":
      return reactDraining(state, fact);
    case "withdrawing":
    case "releasing":
      return reactGivingBack(state, fact);
    case "closed":
      return step(state);
  }
}

function reactIdle(state: State & { phase: "idle" }, fact: Fact): Step {
  if (fact.kind === "close") return step({ phase: "closed" });
  if (fact.kind !== "campaign") return step(state);
  const { nonce } = fact;
  return step({ phase: "campaigning", nonce }, { kind: "claim", nonce });
}

function reactCampaigning(state: State & { phase: "campaigning" }, fact: Fact, now: number): Step {
  const { nonce } = state;
  switch (fact.kind) {
    case "granted": {
      const { token, lease } = fact;
      // The reply may have been under way for longer than the lease: then it is worth nothing (Kleppmann's pause).
      if (now >= lease.validUntil) return step(state, { kind: "claim", nonce });
      return step(
        { phase: "leading", nonce, token, lease, certain: true },
        { kind: "elected", token, lease },
      );
    }
    case "refused":
      return fact.nonce === nonce ? step(initial, { kind: "reject", reason: fact.error }) : step(state);
    case "record-lost":
      // Somebody deleted our place in the queue: queue again.
      return fact.nonce === nonce ? step(state, { kind: "claim", nonce }) : step(state);
    case "abandon":
    case "close": {
      const then = fact.kind === "close" ? "closed" : "idle";
      const reject: Effect = { kind: "reject", reason: fact.reason };
      return step({ phase: "withdrawing", nonce, then }, reject, { kind: "release", nonce });
    }
    default:
      // The end of a session does not end a campaign: its claim is made again in the next session.
      return step(state);
  }
}

function reactLeading(state: State & { phase: "leading" }, fact: Fact): Step {
  switch (fact.kind) {
    case "end":
      return drain(state, fact.reason, "idle");
    case "close":
      return drain(state, "closed", "closed");
    default:
      return reactHolding(state, fact);
  }
}

function reactDraining(state: State & { phase: "draining" }, fact: Fact): Step {
  return fact.kind === "close" ? step({ ...state, then: "closed" }) : reactHolding(state, fact);
}

function reactHolding(state: Holding, fact: Fact): Step {
  switch (fact.kind) {
    case "doubt":
    case "certain":
      return step({ ...state, certain: fact.kind === "certain" });
    case "work-done": {
      const reason = state.phase === "draining" ? state.reason : "resigned";
      const { nonce, token } = state;
      const releasing: State = { phase: "releasing", nonce, token, then: thenOf(state) };
      return step(releasing, ...end(state, reason, "as asked"));
    }
    case "record-lost":
      return fact.nonce === state.nonce ? lose(state, "record-lost", fact.detail) : step(state);
    case "session-ended":
      return fact.lease === state.lease ? lose(state, "session-ended", fact.detail) : step(state);
    default:
      return step(state);
  }
}

function reactGivingBack(state: State & { phase: "withdrawing" | "releasing" }, fact: Fact): Step {
  if (fact.kind === "close") return step({ ...state, then: "closed" });
  if (fact.kind !== "released" || fact.nonce !== state.nonce) return step(state);
  return step({ phase: state.then });
}

function drain(state: State & { phase: "leading" }, reason: LossReason, then: Afterwards): Step {
  const stop: Effect = { kind: "stop", reason, detail: "as asked" };
  return step({ ...state, phase: "draining", reason, then }, stop, { kind: "drain" });
}

function lose(state: Holding, reason: LossReason, detail: string): Step {
  // The record may still stand (an expired lease that the store has not ended yet): nothing of it is kept.
  return step({ phase: thenOf(state) }, ...end(state, reason, detail));
}

/** The end of a term, always in this order: stop, say so, give back. */
function end(state: Holding, reason: LossReason, detail: string): readonly Effect[] {
  const { nonce, token } = state;
  const over: Effect[] = [
    { kind: "lost", token, reason },
    { kind: "release", nonce },
  ];
  return state.phase === "leading" ? [{ kind: "stop", reason, detail }, ...over] : over;
}

function thenOf(state: Holding): Afterwards {
  return state.phase === "draining" ? state.then : "idle";
}

function step(state: State, ...effects: readonly Effect[]): Step {
  return { state, effects };
}
