/**
 * The claims of one session: each has a place in its election's queue, and the first place leads.
 *
 *     look at the queue ── nobody there ────▶ found it: election, place and leader in one multi
 *           │  ▲
 *           │  └────────── not in it ───────  join: an ephemeral sequential node that names session and nonce
 *           ├── first in it ────────────────▶ take: multi(generation, own place, create the leader node)
 *           └── behind somebody ────────────▶ wait: watch the place ahead, and nothing else
 *
 * Whoever waited behind the first place and sees it go need not look again: it takes at once. A release removes
 * leader and place in one multi, so one candidate wakes up, and finds the way free.
 */

import {
  RefusedError,
  type CandidateRecord,
  type Claim,
  type ClaimAnswer,
  type ClaimRequest,
} from "@elect/core/adapter";
import { mode } from "./driver.ts";
import { code } from "./errors.ts";
import type { Generation } from "./generation.ts";
import { inWindows } from "./in-windows.ts";
import { leave, type Leaving } from "./leaving.ts";
import {
  encodeRecord,
  firstPlace,
  inWaitingOrder,
  isOwn,
  isOwnPlace,
  leaderOf,
  placePrefix,
  tokenOf,
  type Node,
  type Owner,
} from "./paths.ts";
import { Standings, type Standing, type StandingsOptions } from "./standing.ts";
import { anyVersion, type MultiOutcome, type Operation, type Wire } from "./wire.ts";

/** So many looks at a queue that changes under our hands, then the claim's outcome is unknown. */
const looks = 8;

const nothing = Buffer.alloc(0);

export interface QueueOptions extends StandingsOptions {
  readonly generation: Generation;
}

export class Queue {
  readonly #options: QueueOptions;
  readonly #standings: Standings;
  readonly #generation: Generation;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#standings = new Standings(options);
    this.#generation = options.generation;
  }

  async claim(wire: Wire, requests: readonly ClaimRequest[]): Promise<ClaimAnswer[]> {
    const unclear = requests.some(({ nonce }) => this.#standings.get(nonce)?.unclear);
    if (unclear || !this.#generation.known) await this.#generation.raise(wire);
    return inWindows(requests, async (request) => {
      try {
        return await this.#claim(wire, request);
      } catch (cause) {
        return cause instanceof RefusedError
          ? this.#refuse(wire, request, cause)
          : { kind: "unknown", cause };
      }
    });
  }

  async release(wire: Wire, claims: readonly Claim[]): Promise<void> {
    const known = claims.every(({ nonce }) => this.#standings.get(nonce)?.unclear === false);
    if (!known) await this.#generation.raise(wire);
    await inWindows(claims, (claim) =>
      leave(this.#leaving(wire), claim, this.#standings.remove(claim.nonce)),
    );
  }

  async dispose(wire: Wire, claims: readonly Claim[]): Promise<void> {
    await this.#generation.raise(wire);
    for (const { nonce } of claims) this.#standings.remove(nonce);
    await inWindows(claims, (claim) => leave(this.#leaving(wire), claim, undefined));
  }

  async watchAgain(): Promise<void> {
    await this.#standings.watchAgain();
  }

  async #claim(wire: Wire, request: ClaimRequest): Promise<ClaimAnswer> {
    const standing = this.#standings.of(request);
    if (standing.next && standing.place !== null) {
      const answer = await this.#take(wire, standing, standing.place, request.candidate);
      if (answer !== null) return answer;
    }
    for (let look = 0; look < looks; look += 1) {
      const children = await wire.children(this.#options.paths.election(request.election));
      const answer = await (children === null
        ? this.#found(wire, standing, request.candidate)
        : this.#proceed(wire, standing, children, request.candidate));
      if (answer !== null) return answer;
    }
    return { kind: "unknown", cause: new Error(`the queue of "${request.election}" keeps changing`) };
  }

  /** Who is refused after it has joined (by the ACL of the place ahead, say) must not stay in the way of others. */
  async #refuse(wire: Wire, claim: Claim, error: RefusedError): Promise<ClaimAnswer> {
    this.#standings.remove(claim.nonce);
    try {
      await leave(this.#leaving(wire), claim, undefined);
    } catch (cause) {
      if (!(cause instanceof RefusedError)) return { kind: "unknown", cause };
    }
    return { kind: "refused", error };
  }

  /** `null`: what was seen does not hold any more; look again. */
  async #proceed(
    wire: Wire,
    standing: Standing,
    children: readonly string[],
    candidate: CandidateRecord,
  ): Promise<ClaimAnswer | null> {
    const queue = inWaitingOrder(children);
    const owner = this.#owner(standing);
    const index = queue.findIndex((place) => isOwnPlace(place, owner));
    const own = queue[index];
    const ahead = queue[index - 1];
    if (own === undefined) return this.#join(wire, standing, candidate);
    standing.place = own.node;
    if (ahead === undefined) return this.#take(wire, standing, own.node, candidate);
    return this.#wait(wire, standing, own.node, { node: ahead.node, first: index === 1 });
  }

  async #join(wire: Wire, standing: Standing, candidate: CandidateRecord): Promise<null> {
    await this.#queue(wire, standing, [this.#createPlace(standing, candidate)]);
    return null;
  }

  /** The first candidate of an election that has no node: nobody can be ahead, so it joins and takes in one step. */
  async #found(wire: Wire, standing: Standing, candidate: CandidateRecord): Promise<ClaimAnswer | null> {
    const { paths } = this.#options;
    const { election } = standing.claim;
    const place = firstPlace(this.#owner(standing));
    const [outcome, answer] = await Promise.all([
      this.#queue(wire, standing, [
        { kind: "create", path: paths.election(election), data: nothing, mode: mode.persistent },
        this.#createPlace(standing, candidate),
        this.#createLeader(standing, place, candidate),
      ]),
      this.#read(wire, standing, place),
    ]);
    if (outcome.done) {
      if (outcome.results[2]?.path !== paths.place(election, place))
        throw new Error("a new queue does not begin at 0");
      standing.place = place;
      return answer;
    }
    // Somebody else was faster (look again), or the node above was deleted.
    if (outcome.code === code.noNode)
      await wire.create(paths.elections, nothing, mode.persistent, code.nodeExists);
    return null;
  }

  async #take(
    wire: Wire,
    standing: Standing,
    place: string,
    candidate: CandidateRecord,
  ): Promise<ClaimAnswer | null> {
    const path = this.#options.paths.place(standing.claim.election, place);
    standing.next = false;
    const [, answer] = await Promise.all([
      this.#commit(wire, [
        { kind: "check", path, version: anyVersion },
        this.#createLeader(standing, place, candidate),
      ]),
      this.#read(wire, standing, place),
    ]);
    return answer;
  }

  /**
   * Reads who leads: we, with the czxid that is our token, or somebody else. Sent right behind the multi that may
   * have made us leader, on the same connection, it sees what became of it; the multi's answer tells neither the
   * czxid nor, after a lost reply, that the leader is us. `null`: nobody leads, or our place is gone.
   */
  async #read(wire: Wire, standing: Standing, place: string): Promise<ClaimAnswer | null> {
    const { paths } = this.#options;
    const { election } = standing.claim;
    const own = paths.place(election, place);
    const [leader, isThere] = await Promise.all([
      wire.read(paths.leader(election), standing.onLeader),
      // Who waited watches it already.
      wire.watches(own, standing.onPlace) || wire.read(own, standing.onPlace),
    ]);
    if (leader === null || isThere === null) return null;
    if (!isOwn(leader, this.#owner(standing))) return held(leader);
    standing.granted = true;
    return { kind: "granted", token: tokenOf(leader.stat) };
  }

  async #wait(
    wire: Wire,
    standing: Standing,
    place: string,
    ahead: { readonly node: string; readonly first: boolean },
  ): Promise<ClaimAnswer | null> {
    const { paths } = this.#options;
    const { election } = standing.claim;
    const path = paths.place(election, ahead.node);
    const own = paths.place(election, place);
    standing.ahead = { path, first: ahead.first };
    // Nothing new: both were among the children just now, and both are watched.
    if (wire.watches(path, standing.onAhead) && wire.watches(own, standing.onPlace)) return held(null);
    const [there, stillOwn, leader] = await Promise.all([
      wire.read(path, standing.onAhead),
      wire.read(own, standing.onPlace),
      wire.read(paths.leader(election)),
    ]);
    return there === null || stillOwn === null ? null : held(leader);
  }

  #owner({ claim }: Standing): Owner {
    return { session: this.#options.session, nonce: claim.nonce };
  }

  #leaving(wire: Wire): Leaving {
    const { paths, session } = this.#options;
    return { wire, paths, session };
  }

  /** Until the answer is here, a place may be there that we have not heard of. */
  async #queue(wire: Wire, standing: Standing, operations: readonly Operation[]): Promise<MultiOutcome> {
    standing.unclear = true;
    const outcome = await this.#commit(wire, operations);
    standing.unclear = false;
    return outcome;
  }

  async #commit(wire: Wire, operations: readonly Operation[]): Promise<MultiOutcome> {
    const outcome = await wire.multi([this.#generation.check(), ...operations]);
    this.#generation.accept(outcome);
    return outcome;
  }

  /** The server appends the number. */
  #createPlace(standing: Standing, candidate: CandidateRecord): Operation {
    const { election, nonce } = standing.claim;
    return {
      kind: "create",
      path: this.#options.paths.place(election, placePrefix(this.#owner(standing))),
      data: encodeRecord({ ...candidate, nonce, place: null }),
      mode: mode.ephemeralSequential,
    };
  }

  #createLeader({ claim }: Standing, place: string, candidate: CandidateRecord): Operation {
    const data = encodeRecord({ ...candidate, nonce: claim.nonce, place });
    return { kind: "create", path: this.#options.paths.leader(claim.election), data, mode: mode.ephemeral };
  }
}

function held(leader: Node | null): ClaimAnswer {
  return { kind: "held", by: leaderOf(leader), retryInMs: null, patience: null };
}
