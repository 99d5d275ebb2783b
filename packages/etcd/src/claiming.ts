/**
 * How a session's claims are made and given back: many in one transaction, all under one condition on its key.
 *
 * A claim that has no place in the queue takes one, and leads at once if it is alone; one that has its place asks
 * whether its turn has come. What each finds is kept, and watched, in `places.ts`.
 */

import {
  RefusedError,
  type Call,
  type Claim,
  type ClaimAnswer,
  type ClaimRequest,
} from "@elect/core/adapter";
import type { Committed, Operation, Outcome } from "./client.ts";
import type { Connection } from "./connection.ts";
import { leaderOf, markOf, type Keys } from "./keys.ts";
import type { Link } from "./link.ts";
import type { Places } from "./places.ts";
import { advancing, claiming, joining, leaving, raising, type Footing } from "./transactions.ts";
import type { Watches } from "./watch.ts";

/** So many claims in one transaction: 1 MiB at their longest, where etcd takes 1.5; and 100 operations of its 128. */
const claimsInOne = 50;

export interface ClaimingParts {
  readonly connection: Connection;
  readonly keys: Keys;
  /** The session's nonce. */
  readonly nonce: string;
  readonly footing: Footing;
  readonly watches: Watches;
  readonly places: Places;
  /** The store said that the session is over; returns how. */
  readonly over: () => string;
}

export class Claiming {
  readonly #parts: ClaimingParts;
  #generation = 0;

  constructor(parts: ClaimingParts) {
    this.#parts = parts;
  }

  async claim(requests: readonly ClaimRequest[], call: Call): Promise<readonly ClaimAnswer[]> {
    const { connection, watches } = this.#parts;
    const answers = new Map<string, ClaimAnswer>();
    await connection.use(call, async (link) => {
      await watches.carryOn(link);
      for (const wave of distinct(requests)) {
        await Promise.all(chunks(wave).map((chunk) => this.#ask(link, chunk, answers, call)));
      }
    });
    return requests.map(
      ({ nonce }) => answers.get(nonce) ?? { kind: "unknown", cause: new Error("no answer") },
    );
  }

  async release(claims: readonly Claim[], call: Call): Promise<void> {
    const { connection, keys, nonce: session, footing, places } = this.#parts;
    for (const { nonce } of claims) places.forget(nonce);
    const [first = [], ...rest] = chunks(claims).map((chunk) =>
      chunk.flatMap(({ election, nonce }) => leaving(keys, { election, mark: markOf(session, nonce) })),
    );
    await connection.use(call, async (link) => {
      // The generation is raised, if it is to be, with the first thing that is given back.
      await link.commit({ success: [raising(footing, this.#generation), ...first] }, call);
      await Promise.all(rest.map((success) => link.commit({ success }, call)));
    });
  }

  async dispose(claims: readonly Claim[], call: Call): Promise<void> {
    this.#generation += 1;
    await this.release(claims, call);
  }

  /** One transaction of claims. What it decides, it decides for each; what fails, leaves all of them open. */
  async #ask(
    link: Link,
    requests: readonly ClaimRequest[],
    answers: Map<string, ClaimAnswer>,
    call: Call,
  ): Promise<void> {
    let open = requests;
    try {
      // A claim whose place is not where we thought asks again, once or twice: to find its place, and to use it.
      for (let go = 0; open.length > 0 && go < 3; go += 1) {
        const operations = open.map((request) => this.#operations(request));
        const committed = await link.commit(
          claiming(this.#parts.footing, this.#generation, operations),
          call,
        );
        if (!committed.succeeded) throw this.#unfounded(committed);
        const revision = BigInt(committed.header.revision);
        open = open.filter((request, index) => {
          const answer = this.#judge(request, committed.responses[index]?.response_txn, revision);
          if (answer !== null) answers.set(request.nonce, answer);
          return answer === null;
        });
      }
      if (open.length > 0) throw new Error(`the places of ${open.length} claims in their queues come and go`);
    } catch (cause) {
      const refused = cause instanceof RefusedError;
      for (const { nonce } of open) {
        answers.set(nonce, refused ? { kind: "refused", error: cause } : { kind: "unknown", cause });
      }
    }
  }

  #operations(request: ClaimRequest): Operation[] {
    const { keys, nonce, footing, places } = this.#parts;
    const bid = { ...request, mark: markOf(nonce, request.nonce) };
    const place = places.get(request.nonce);
    return place === undefined ? joining(keys, footing, bid) : advancing(keys, footing, bid, place.joined);
  }

  /** `null`: the claim's place is not the one it asked with; what is known of it now, the next question uses. */
  #judge(
    { election, nonce }: ClaimRequest,
    outcome: Outcome | null | undefined,
    revision: bigint,
  ): ClaimAnswer | null {
    const { keys, nonce: session, places } = this.#parts;
    const claim = { election, nonce };
    const [leaders, before, own, decided] = outcome?.responses ?? [];
    const known = places.get(nonce)?.joined;
    if (decided?.response_txn?.succeeded === true) {
      places.leads(claim, known ?? revision, revision);
      return { kind: "granted", token: revision };
    }
    const leader = leaderOf(leaders?.response_range?.kvs[0]);
    const place = own?.response_range?.kvs[0]?.create_revision;
    if (leader?.mark === markOf(session, nonce)) {
      places.leads(claim, place === undefined ? leader.token : BigInt(place), leader.token);
      return { kind: "granted", token: leader.token };
    }
    const took = decided?.response_txn?.responses[0]?.response_txn?.succeeded === true;
    if (!took && place === undefined) {
      places.forget(nonce);
      return null;
    }
    const joined = took || place === undefined ? revision : BigInt(place);
    const ahead = before?.response_range?.kvs[0]?.key ?? keys.leader(election);
    places.waits(claim, joined, ahead, revision);
    if (!took && joined !== known) return null;
    const by = leader === null ? null : { id: leader.id, token: leader.token, metadata: leader.metadata };
    return { kind: "held", by, retryInMs: null, patience: null };
  }

  /** The session's key is gone, or is of another generation than this claim. */
  #unfounded(committed: Committed): Error {
    const { footing, over } = this.#parts;
    const key = committed.responses[0]?.response_range?.kvs[0];
    if (key?.lease !== footing.lease || key.create_revision !== footing.born) {
      return new Error(`the session is over: ${over()}`);
    }
    return new Error("the session is of another generation than the claim: dispose of it first");
  }
}

/** Claims of one election go one after the other: etcd lets a transaction put a key only once. */
function distinct(requests: readonly ClaimRequest[]): ClaimRequest[][] {
  const waves: ClaimRequest[][] = [];
  const seen = new Map<string, number>();
  for (const request of requests) {
    const wave = seen.get(request.election) ?? 0;
    seen.set(request.election, wave + 1);
    (waves[wave] ??= []).push(request);
  }
  return waves;
}

function chunks<T>(all: readonly T[]): T[][] {
  const parts: T[][] = [];
  for (let from = 0; from < all.length; from += claimsInOne) parts.push(all.slice(from, from + claimsInOne));
  return parts;
}
