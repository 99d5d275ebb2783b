/**
 * A session: one lease, which holds the session's key and, for each claim, its place in the queue and the leader's
 * key. The end of the lease deletes them all in one step of etcd's log (S1); that step is also the only clean-up
 * there is (S6).
 *
 * A proof is a keep-alive **followed by** a committed transaction on the session's key, both seen in one term of
 * etcd's own leader: a keep-alive alone may be answered by a leader that the others have replaced, and a transaction
 * alone renews nothing (decisions/0003).
 */

import {
  RefusedError,
  type Call,
  type Claim,
  type ClaimAnswer,
  type ClaimRequest,
  type Proof,
  type Session,
  type SessionEvents,
} from "@elect/core/adapter";
import type { Committed, Operation, Outcome } from "./client.ts";
import type { Connection } from "./connection.ts";
import { leaderOf, markOf, type Keys } from "./keys.ts";
import type { Link } from "./link.ts";
import { Places } from "./places.ts";
import { advancing, claiming, joining, leaving, proof, raising, type Footing } from "./transactions.ts";
import { Watches } from "./watch.ts";

/** So many claims in one transaction: 1 MiB at their longest, where etcd takes 1.5; and 100 operations of its 128. */
const claimsInOne = 50;

export interface EtcdSessionParts {
  readonly connection: Connection;
  readonly keys: Keys;
  readonly events: SessionEvents;
  readonly nonce: string;
  readonly footing: Footing;
  /** The revision at which the session's key was put. */
  readonly born: string;
  readonly cluster: string;
  readonly ttlMs: number;
  readonly warnings: readonly string[];
}

export class EtcdSession implements Session {
  readonly id: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly proofLagMs = 0;
  readonly ticket: string;
  readonly poll = null;
  readonly warnings: readonly string[];
  readonly #connection: Connection;
  readonly #keys: Keys;
  readonly #events: SessionEvents;
  readonly #nonce: string;
  readonly #footing: Footing;
  readonly #born: string;
  readonly #watches: Watches;
  readonly #places: Places;
  #generation = 0;

  constructor({
    connection,
    keys,
    events,
    nonce,
    footing,
    born,
    cluster,
    ttlMs,
    warnings,
  }: EtcdSessionParts) {
    this.id = BigInt(footing.lease).toString(16);
    this.store = cluster;
    this.ttlMs = ttlMs;
    this.ticket = JSON.stringify({ cluster, lease: footing.lease });
    this.warnings = warnings;
    this.#connection = connection;
    this.#keys = keys;
    this.#events = events;
    this.#nonce = nonce;
    this.#footing = footing;
    this.#born = born;
    this.#watches = new Watches((cause) => events.doubt(cause));
    this.#places = new Places(keys, events, this.#watches);
    this.#watches.add({
      key: footing.key,
      from: BigInt(born) + 1n,
      deletesOnly: true,
      heard: (happening) => {
        if (happening === "deleted") events.ended(gone);
      },
    });
  }

  /** From now on etcd tells us what happens to our keys. */
  async listen(link: Link): Promise<void> {
    await this.#watches.carryOn(link);
  }

  async prove(held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof> {
    return this.#connection.use(call, async (link) => {
      const renewed = await link.keepAlive(this.#footing.lease, call);
      const looks = this.#places.inTurn(held);
      const reads = looks.map(({ claim }) => this.#keys.leader(claim.election));
      const committed = await link.commit(proof(this.#footing, this.#born, reads), call);
      if (!committed.succeeded) return { kind: "dead", reason: gone };
      if (renewed.TTL === "0") {
        throw new Error(
          `etcd at ${link.member} found no lease, and the session's key on it: its leader is changing`,
        );
      }
      if (renewed.header.raft_term !== committed.header.raft_term) {
        throw new Error(`etcd's leader changed between the two steps of a proof, at ${link.member}`);
      }
      await this.listen(link);
      const found = committed.responses.slice(1).map((answer) => answer.response_range?.kvs[0]);
      const lost = looks.filter(
        (place, index) => !this.#places.holds(place, this.#footing.lease, found[index]),
      );
      return {
        kind: "alive",
        ttlMs: Number(renewed.TTL) * 1000,
        covers: "all",
        lost: lost.map(({ claim }) => claim),
      };
    });
  }

  async claim(requests: readonly ClaimRequest[], call: Call): Promise<readonly ClaimAnswer[]> {
    const answers = new Map<string, ClaimAnswer>();
    await this.#connection.use(call, async (link) => {
      await this.listen(link);
      for (const wave of distinct(requests)) {
        await Promise.all(chunks(wave).map((chunk) => this.#ask(link, chunk, answers, call)));
      }
    });
    return requests.map(
      ({ nonce }) => answers.get(nonce) ?? { kind: "unknown", cause: new Error("no answer") },
    );
  }

  async release(claims: readonly Claim[], call: Call): Promise<void> {
    await this.#leave(claims, [], call);
  }

  async dispose(claims: readonly Claim[], call: Call): Promise<void> {
    this.#generation += 1;
    await this.#leave(claims, [raising(this.#footing, this.#born, this.#generation)], call);
  }

  async end(call: Call): Promise<void> {
    this.#watches.close();
    try {
      await this.#connection.use(call, (link) => link.revoke(this.#footing.lease, call));
    } finally {
      this.abandon();
    }
  }

  abandon(): void {
    this.#watches.close();
    this.#connection.close();
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
        const committed = await link.commit(
          claiming(
            this.#footing,
            this.#generation,
            open.map((request) => this.#bid(request)),
          ),
          call,
        );
        if (!committed.succeeded) throw this.#unfounded(committed);
        open = open.filter((request, index) => {
          const answer = this.#hear(
            request,
            committed.responses[index]?.response_txn,
            BigInt(committed.header.revision),
          );
          if (answer !== null) answers.set(request.nonce, answer);
          return answer === null;
        });
      }
      if (open.length > 0) throw new Error(`the places of ${open.length} claims in their queues come and go`);
    } catch (cause) {
      for (const { nonce } of open) {
        answers.set(
          nonce,
          cause instanceof RefusedError ? { kind: "refused", error: cause } : { kind: "unknown", cause },
        );
      }
    }
  }

  #bid(request: ClaimRequest): Operation[] {
    const bid = { ...request, mark: markOf(this.#nonce, request.nonce) };
    const place = this.#places.get(request.nonce);
    return place === undefined
      ? joining(this.#keys, this.#footing, bid)
      : advancing(this.#keys, this.#footing, bid, place.joined);
  }

  /** `null`: the claim's place is not the one it asked with; what is known of it now, the next question uses. */
  #hear(request: ClaimRequest, outcome: Outcome | null | undefined, revision: bigint): ClaimAnswer | null {
    const claim = { election: request.election, nonce: request.nonce };
    const [leaders, before, own, decided] = outcome?.responses ?? [];
    const known = this.#places.get(claim.nonce)?.joined;
    if (decided?.response_txn?.succeeded === true) {
      this.#places.leads(claim, known ?? revision, revision);
      return { kind: "granted", token: revision };
    }
    const leader = leaderOf(leaders?.response_range?.kvs[0]);
    const place = own?.response_range?.kvs[0]?.create_revision;
    if (leader?.mark === markOf(this.#nonce, claim.nonce)) {
      this.#places.leads(claim, place === undefined ? leader.token : BigInt(place), leader.token);
      return { kind: "granted", token: leader.token };
    }
    const took = decided?.response_txn?.responses[0]?.response_txn?.succeeded === true;
    if (!took && place === undefined) {
      this.#places.forget(claim.nonce);
      return null;
    }
    const joined = took || place === undefined ? revision : BigInt(place);
    const ahead = before?.response_range?.kvs[0]?.key ?? this.#keys.leader(claim.election);
    this.#places.waits(claim, joined, ahead, revision);
    if (!took && joined !== known) return null;
    const by = leader === null ? null : { id: leader.id, token: leader.token, metadata: leader.metadata };
    return { kind: "held", by, retryInMs: null, patience: null };
  }

  /** The session's key is gone, or is of another generation than this claim. */
  #unfounded(committed: Committed): Error {
    const key = committed.responses[0]?.response_range?.kvs[0];
    if (key?.lease === this.#footing.lease && key.create_revision === this.#born) {
      return new Error(`session ${this.id} is of another generation than the claim: dispose of it first`);
    }
    this.#events.ended(gone);
    return new Error(`session ${this.id} is over: ${gone}`);
  }

  async #leave(claims: readonly Claim[], first: readonly Operation[], call: Call): Promise<void> {
    for (const { nonce } of claims) this.#places.forget(nonce);
    await this.#connection.use(call, async (link) => {
      const [head = [], ...rest] = chunks(claims).map((chunk) =>
        chunk.flatMap(({ election, nonce }) =>
          leaving(this.#keys, { election, mark: markOf(this.#nonce, nonce) }),
        ),
      );
      // The generation is raised before or with the first thing that is given back.
      await link.commit({ success: [...first, ...head] }, call);
      await Promise.all(rest.map((success) => link.commit({ success }, call)));
    });
  }
}

const gone =
  "its key in etcd is gone: the lease ran out, or was revoked, or somebody deleted or overwrote the key";

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
