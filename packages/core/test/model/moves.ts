/** What may happen next in the world, and how likely. */

import type { Candidate, World } from "./world.ts";

export type Move = (world: World, candidate: Candidate, byte: number) => void;

const deliver: Move = (world, candidate) => world.deliver(candidate, false);
const hear: Move = (world, candidate) => world.hear(candidate);
const campaign: Move = (world, candidate) => {
  if (candidate.state.phase !== "idle" || candidate.working) return;
  candidate.gaveUp = false;
  candidate.nonces += 1;
  world.tell(candidate, { kind: "campaign", nonce: `${candidate.name}#${candidate.nonces}` });
};
const workEnds: Move = (world, candidate) => {
  // It returned, or it threw: the same to us.
  candidate.working = false;
  world.tell(candidate, { kind: "work-done" });
};
/** The answer to a proof takes its time: how much of that counts is what a deadline is about. */
const slowProof: Move = (world, candidate) => {
  world.prove(candidate);
  while (candidate.requests.length > 0) world.deliver(candidate, false);
  world.advance(300);
  while (candidate.replies.length > 0) world.hear(candidate);
};
/** A claim and its answer without anything in between. */
const claimAtOnce: Move = (world, candidate, byte) => {
  campaign(world, candidate, byte);
  while (candidate.requests.length > 0) world.deliver(candidate, false);
  if (candidate.replies.length > 0) world.hear(candidate);
};

/** Weighted by repetition, so that a random tape gets somewhere. */
export const moves: readonly Move[] = [
  campaign,
  campaign,
  deliver,
  deliver,
  deliver,
  deliver,
  hear,
  hear,
  hear,
  hear,
  (world, candidate) => world.deliver(candidate, true),
  (world, candidate) => world.prove(candidate),
  (world, candidate) => world.prove(candidate),
  slowProof,
  claimAtOnce,
  (world) => world.advance(50),
  (world, _, byte) => world.advance(byte % 2 === 0 ? 300 : 700),
  (world, _, byte) => world.advance(byte % 2 === 0 ? 900 : 1_100),
  (world, candidate) => world.keepSession(candidate, "expired"),
  (world, candidate) => world.keepSession(candidate, "expired"),
  (world, candidate) => world.keepSession(candidate, "dead"),
  (world, candidate) => world.tell(candidate, { kind: "look" }),
  (world, candidate) => world.tell(candidate, { kind: "doubt" }),
  workEnds,
  (world, candidate) => world.tell(candidate, { kind: "end", reason: "resigned" }),
  (world, candidate) => {
    if (candidate.state.phase === "campaigning") candidate.gaveUp = true;
    world.tell(candidate, { kind: "abandon", reason: new Error("aborted") });
  },
  (world, candidate, byte) => {
    if (byte % 3 !== 0) return;
    candidate.gaveUp = true;
    world.tell(candidate, { kind: "close", reason: new Error("closed") });
  },
  (world, candidate) => {
    if (candidate.state.phase !== "campaigning" || candidate.requests.length + candidate.replies.length > 1)
      return;
    candidate.requests.length = 0;
    world.tell(candidate, { kind: "refused", nonce: candidate.state.nonce, error: new Error("refused") });
  },
  (world, _, byte) => {
    if (byte % 2 === 0) world.deleteRecord();
  },
];
