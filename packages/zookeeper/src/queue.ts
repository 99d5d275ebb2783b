/**
 * The claims of one session: each has a place in its election's queue, and the first place leads.
 *
 *     look at the queue ── nobody there ────▶ found it: election, place and leader in one multi
 *           │  ▲
 *           │  └────────── not in it ───────  join: an ephemeral sequential node with the nonce in its name
 *           ├── first in it ────────────────▶ take: multi(generation, own place, create the leader node)
 *           └── behind somebody ────────────▶ wait: watch the place ahead, and nothing else
 *
 * Whoever waited behind the first place and sees it go needs not look again: it takes at once. A release removes
 * leader and place in one multi, so one candidate wakes up, and finds the way free.
 */

import type { CandidateRecord, Claim, ClaimAnswer, ClaimRequest } from "@elect/core/adapter";
import { RefusedError } from "@elect/core/adapter";
import { mode } from "./driver.ts";
import { code } from "./errors.ts";
import { encodeRecord, firstPlace, inWaitingOrder, isOwn, leaderOf, placePrefix, tokenOf } from "./paths.ts";
import type { Node, Paths } from "./paths.ts";
import type { Changed, MultiOutcome, Operation, Wire } from "./wire.ts";

/** So many looks at a queue that changes under our hands, then the claim's outcome is unknown. */
const looks = 8;
/** So many claims under way at once. A proof that is sent meanwhile waits behind them, and must not wait long. */
const window = 128;

const nothing = Buffer.alloc(0);

export interface QueueEvents {
  hint(election: string): void;
  lost(claim: Claim, reason: string): void;
  ended(reason: string): void;
}

export interface QueueOptions {
  readonly paths: Paths;
  /** The session's. */
  readonly nonce: string;
  /** The session's id, as nodes name their owner. */
  readonly owner: Buffer;
  readonly generation: number;
  /** The present connection, for looks that belong to no call. */
  wire(): Wire;
  readonly events: QueueEvents;
}

/** What we know of one claim's place. */
interface Standing {
  readonly claim: Claim;
  /** The name of its node in the queue, once the server has told it. */
  node: string | null;
  /** A node may have been created without our having heard of it. */
  unclear: boolean;
  /** The place watched, and whether it was the first: when that goes, nobody is left ahead. */
  ahead: { readonly path: string; readonly first: boolean } | null;
  next: boolean;
  granted: boolean;
  /** Stable functions, so that a path is watched once however often it is read. */
  readonly onAhead: Changed;
  readonly onOwn: Changed;
  readonly onLeader: Changed;
}

export class Queue {
  readonly #paths: Paths;
  readonly #nonce: string;
  readonly #owner: Buffer;
  readonly #events: QueueEvents;
  readonly #wire: () => Wire;
  readonly #standings = new Map<string, Standing>();
  /** `null`: raise it before the next claim, to learn it. */
  #generation: number | null;

  constructor({ paths, nonce, owner, generation, wire, events }: QueueOptions) {
    this.#paths = paths;
    this.#nonce = nonce;
    this.#owner = owner;
    this.#generation = generation;
    this.#wire = wire;
    this.#events = events;
  }

  async claim(wire: Wire, requests: readonly ClaimRequest[]): Promise<ClaimAnswer[]> {
    const unclear = requests.some(({ nonce }) => this.#standings.get(nonce)?.unclear);
    if (unclear || this.#generation === null) await this.#raise(wire);
    return inWindows(requests, async (request) => {
      try {
        return await this.#claim(wire, request);
      } catch (cause) {
        if (cause instanceof RefusedError) return { kind: "refused", error: cause };
        return { kind: "unknown", cause };
      }
    });
  }

  async release(wire: Wire, claims: readonly Claim[]): Promise<void> {
    const unclear = claims.some(({ nonce }) => this.#standings.get(nonce)?.unclear !== false);
    if (unclear) await this.#raise(wire);
    await inWindows(claims, (claim) => this.#leave(wire, claim));
  }

  async dispose(wire: Wire, claims: readonly Claim[]): Promise<void> {
    await this.#raise(wire);
    for (const { nonce } of claims) this.#standings.delete(nonce);
    await inWindows(claims, (claim) => this.#leave(wire, claim));
  }

  /** On a new connection: watches again what we hold, and reports what went while nobody watched. */
  async watchAgain(): Promise<void> {
    const wire = this.#wire();
    const held = [...this.#standings.values()].filter(({ granted }) => granted);
    await inWindows(held, (standing) => this.#check(wire, standing));
  }

  async #check(wire: Wire, standing: Standing): Promise<void> {
    const { claim, node } = standing;
    if (node === null) return;
    const [leader, own] = await Promise.all([
      wire.read(this.#paths.leader(claim.election), standing.onLeader),
      wire.read(this.#paths.place(claim.election, node), standing.onOwn),
    ]);
    if (own === null || !isOwn(leader, this.#owner, claim.nonce)) this.#lost(standing, "its node is gone");
  }

  /**
   * S4: a claim that carries an older generation is refused from here on, wherever it may have been held up. Being
   * a write, this also makes sure that what is read next shows every older request that came through.
   */
  async #raise(wire: Wire): Promise<void> {
    this.#generation = null;
    const stat = await wire.setData(this.#paths.generation(this.#nonce), nothing);
    if (stat === null) throw this.#deleted();
    this.#generation = stat.version;
  }

  async #claim(wire: Wire, request: ClaimRequest): Promise<ClaimAnswer> {
    const standing = this.#standing(request);
    if (standing.next && standing.node !== null) {
      const answer = await this.#take(wire, standing, standing.node, request.candidate);
      if (answer !== null) return answer;
    }
    for (let look = 0; look < looks; look += 1) {
      const children = await wire.children(this.#paths.election(request.election));
      const answer = await (children === null
        ? this.#found(wire, standing, request.candidate)
        : this.#proceed(wire, standing, children, request.candidate));
      if (answer !== null) return answer;
    }
    return { kind: "unknown", cause: new Error(`the queue of "${request.election}" keeps changing`) };
  }

  /** `null`: what was seen does not hold any more; look again. */
  async #proceed(
    wire: Wire,
    standing: Standing,
    children: readonly string[],
    candidate: CandidateRecord,
  ): Promise<ClaimAnswer | null> {
    const queue = inWaitingOrder(children);
    const index = queue.findIndex(({ nonce }) => nonce === standing.claim.nonce);
    const own = queue[index];
    const ahead = queue[index - 1];
    if (own === undefined) return this.#join(wire, standing, candidate);
    standing.node = own.node;
    if (ahead === undefined) return this.#take(wire, standing, own.node, candidate);
    return this.#wait(wire, standing, own.node, ahead.node, index === 1);
  }

  async #join(wire: Wire, standing: Standing, candidate: CandidateRecord): Promise<null> {
    const { election, nonce } = standing.claim;
    const record = encodeRecord({ ...candidate, nonce, place: null });
    const path = this.#paths.place(election, placePrefix(nonce));
    await this.#creating(standing, () => wire.create(path, record, mode.ephemeralSequential));
    return null;
  }

  /** The first candidate of an election that has no node: nobody can be ahead, so it joins and takes in one step. */
  async #found(wire: Wire, standing: Standing, candidate: CandidateRecord): Promise<ClaimAnswer | null> {
    const { election, nonce } = standing.claim;
    const place = firstPlace(nonce);
    const outcome = await this.#creating(standing, () =>
      wire.multi([
        this.#checkGeneration(),
        { kind: "create", path: this.#paths.election(election), data: nothing, mode: mode.persistent },
        {
          kind: "create",
          path: this.#paths.place(election, placePrefix(nonce)),
          data: encodeRecord({ ...candidate, nonce, place: null }),
          mode: mode.ephemeralSequential,
        },
        this.#createLeader(standing, place, candidate),
      ]),
    );
    if (!outcome.done) {
      if (outcome.failed === 0) throw this.#outdated(outcome);
      // Somebody else was faster, or the node above was deleted.
      if (outcome.failed === 1 && outcome.code === code.noNode) {
        await wire.create(this.#paths.elections, nothing, mode.persistent, code.nodeExists);
      }
      return null;
    }
    standing.node = place;
    return this.#read(wire, standing, place);
  }

  async #take(
    wire: Wire,
    standing: Standing,
    node: string,
    candidate: CandidateRecord,
  ): Promise<ClaimAnswer | null> {
    standing.next = false;
    const [outcome, answer] = await Promise.all([
      wire.multi([
        this.#checkGeneration(),
        { kind: "check", path: this.#paths.place(standing.claim.election, node), version: -1 },
        this.#createLeader(standing, node, candidate),
      ]),
      // Sent behind it on the same connection, so it sees what became of it.
      this.#read(wire, standing, node),
    ]);
    if (!outcome.done && outcome.failed === 0) throw this.#outdated(outcome);
    return answer;
  }

  /**
   * Reads who leads: us, with the czxid that is our token, or somebody else. The same reads set the watches that tell
   * us when an operator deletes our nodes (S5). `null`: nobody leads, or our place is gone.
   */
  async #read(wire: Wire, standing: Standing, node: string): Promise<ClaimAnswer | null> {
    const { election, nonce } = standing.claim;
    const [leader, own] = await Promise.all([
      wire.read(this.#paths.leader(election), standing.onLeader),
      wire.read(this.#paths.place(election, node), standing.onOwn),
    ]);
    if (leader === null || own === null) return null;
    if (!isOwn(leader, this.#owner, nonce)) return held(leader);
    standing.granted = true;
    return { kind: "granted", token: tokenOf(leader.stat) };
  }

  async #wait(
    wire: Wire,
    standing: Standing,
    node: string,
    aheadNode: string,
    first: boolean,
  ): Promise<ClaimAnswer | null> {
    const { election } = standing.claim;
    const path = this.#paths.place(election, aheadNode);
    standing.ahead = { path, first };
    const [ahead, own, leader] = await Promise.all([
      wire.read(path, standing.onAhead),
      wire.read(this.#paths.place(election, node), standing.onOwn),
      wire.read(this.#paths.leader(election)),
    ]);
    return ahead === null || own === null ? null : held(leader);
  }

  /** Removes what names this session and nonce. */
  async #leave(wire: Wire, claim: Claim): Promise<void> {
    const standing = this.#standings.get(claim.nonce);
    this.#standings.delete(claim.nonce);
    if (standing?.node !== null && standing?.node !== undefined) {
      const operations = [remove(this.#paths.place(claim.election, standing.node))];
      if (standing.granted) operations.push(remove(this.#paths.leader(claim.election)));
      const [outcome] = await Promise.all([wire.multi(operations), this.#tidy(wire, claim.election)]);
      if (outcome.done) return;
    }
    for (let look = 0; look < looks; look += 1) {
      const operations = await this.#find(wire, claim);
      if (operations.length === 0 || (await wire.multi(operations)).done)
        return this.#tidy(wire, claim.election);
    }
    throw new Error(`the queue of "${claim.election}" keeps changing`);
  }

  async #find(wire: Wire, { election, nonce }: Claim): Promise<Operation[]> {
    const [children, leader] = await Promise.all([
      wire.children(this.#paths.election(election)),
      wire.read(this.#paths.leader(election)),
    ]);
    const places = inWaitingOrder(children ?? []).filter((place) => place.nonce === nonce);
    const operations = places.map(({ node }) => remove(this.#paths.place(election, node)));
    // Without our place, only this read says that the leader node is ours. It could go and another come before it is
    // removed, but only if an operator deletes both our nodes within this round trip.
    if (isOwn(leader, this.#owner, nonce)) operations.push(remove(this.#paths.leader(election)));
    return operations;
  }

  /** The last one out removes the election's node; it is made again when somebody comes. */
  async #tidy(wire: Wire, election: string): Promise<void> {
    const path = this.#paths.election(election);
    const children = await wire.children(path);
    if (children?.length === 0) await wire.remove(path);
  }

  async #creating<T>(standing: Standing, create: () => Promise<T>): Promise<T> {
    standing.unclear = true;
    const created = await create();
    standing.unclear = false;
    return created;
  }

  #checkGeneration(): Operation {
    if (this.#generation === null) throw new Error("the session's generation is unknown");
    return { kind: "check", path: this.#paths.generation(this.#nonce), version: this.#generation };
  }

  #createLeader({ claim }: Standing, place: string, candidate: CandidateRecord): Operation {
    const data = encodeRecord({ ...candidate, nonce: claim.nonce, place });
    return { kind: "create", path: this.#paths.leader(claim.election), data, mode: mode.ephemeral };
  }

  #outdated(outcome: MultiOutcome & { done: false }): Error {
    this.#generation = null;
    return outcome.code === code.noNode ? this.#deleted() : new Error("the claim's generation is outdated");
  }

  #deleted(): Error {
    const reason = "its generation node was deleted";
    this.#events.ended(reason);
    return new Error(reason);
  }

  #lost(standing: Standing, reason: string): void {
    if (this.#standings.get(standing.claim.nonce) !== standing) return;
    standing.granted = false;
    standing.node = null;
    this.#events.lost(standing.claim, reason);
  }

  #standing(claim: Claim): Standing {
    const known = this.#standings.get(claim.nonce);
    if (known !== undefined) return known;
    const { election, nonce } = claim;
    const live = (react: () => void): void => {
      if (this.#standings.get(nonce) === standing) react();
    };
    // Somebody wrote to our node: the watch is used up. Should the connection end meanwhile, `watchAgain` follows.
    const recheck = (): void => void this.#check(this.#wire(), standing).catch(() => {});
    const standing: Standing = {
      claim: { election, nonce },
      node: null,
      unclear: false,
      ahead: null,
      next: false,
      granted: false,
      onAhead: (path, gone) =>
        live(() => {
          if (standing.ahead?.path !== path) return;
          standing.next = gone && standing.ahead.first;
          standing.ahead = null;
          this.#events.hint(election);
        }),
      onOwn: (_, gone) =>
        live(() => {
          const { granted } = standing;
          if (gone) this.#lost(standing, "its place in the queue was deleted");
          if (!granted) this.#events.hint(election);
          else if (!gone) recheck();
        }),
      onLeader: (_, gone) =>
        live(() => {
          if (!standing.granted) this.#events.hint(election);
          else if (gone) this.#lost(standing, "its leader node was deleted");
          else recheck();
        }),
    };
    this.#standings.set(nonce, standing);
    return standing;
  }
}

function held(leader: Node | null): ClaimAnswer {
  return { kind: "held", by: leaderOf(leader), retryInMs: null, patience: null };
}

function remove(path: string): Operation {
  return { kind: "remove", path };
}

/** Works on all of them, so many at a time; the answers come in their order. */
async function inWindows<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const rest = items.entries();
  const lane = async (): Promise<void> => {
    for (const [index, item] of rest) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(window, items.length) }, lane));
  return results;
}
