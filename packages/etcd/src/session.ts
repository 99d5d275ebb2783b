/**
 * A session: one lease, which holds the session's key and, for each claim, its place in the queue and the leader's
 * key. The end of the lease deletes them all in one step of etcd's log (S1); that step is also the only clean-up
 * there is (S6).
 *
 * A proof is a keep-alive **followed by** a committed transaction on the session's key, both seen in one term of
 * etcd's own leader: a keep-alive alone may be answered by a leader that the others have replaced, and a transaction
 * alone renews nothing (decisions/0003).
 */

import type {
  Call,
  Claim,
  ClaimAnswer,
  ClaimRequest,
  Proof,
  Session,
  SessionEvents,
} from "@elect/core/adapter";
import { Claiming } from "./claiming.ts";
import type { Connection } from "./connection.ts";
import type { Keys } from "./keys.ts";
import type { Link } from "./link.ts";
import { Places } from "./places.ts";
import { proof, type Footing } from "./transactions.ts";
import { Watches } from "./watch.ts";

const gone =
  "its key in etcd is gone: the lease ran out, or was revoked, or somebody deleted or overwrote the key";

export interface EtcdSessionParts {
  readonly connection: Connection;
  readonly keys: Keys;
  readonly events: SessionEvents;
  readonly nonce: string;
  readonly footing: Footing;
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
  readonly #footing: Footing;
  readonly #watches: Watches;
  readonly #places: Places;
  readonly #claiming: Claiming;

  constructor({ connection, keys, events, nonce, footing, cluster, ttlMs, warnings }: EtcdSessionParts) {
    this.id = BigInt(footing.lease).toString(16);
    this.store = cluster;
    this.ttlMs = ttlMs;
    this.ticket = JSON.stringify({ cluster, lease: footing.lease });
    this.warnings = warnings;
    this.#connection = connection;
    this.#keys = keys;
    this.#footing = footing;
    const watches = new Watches((cause) => events.doubt(cause));
    const places = new Places(keys, events, watches);
    const over = (): string => {
      events.ended(gone);
      return gone;
    };
    watches.add({
      key: footing.key,
      from: BigInt(footing.born) + 1n,
      deletesOnly: true,
      heard: (happening) => void (happening === "deleted" && over()),
    });
    this.#watches = watches;
    this.#places = places;
    this.#claiming = new Claiming({ connection, keys, nonce, footing, watches, places, over });
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
      const committed = await link.commit(proof(this.#footing, reads), call);
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
    return this.#claiming.claim(requests, call);
  }

  async release(claims: readonly Claim[], call: Call): Promise<void> {
    await this.#claiming.release(claims, call);
  }

  async dispose(claims: readonly Claim[], call: Call): Promise<void> {
    await this.#claiming.dispose(claims, call);
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
}
