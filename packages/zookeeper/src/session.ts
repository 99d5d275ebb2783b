/**
 * A session of Elect is a session of ZooKeeper: the server declares it dead in one transaction (S1), which deletes
 * every node it owns, so there is nothing to clean up after a crash (S6). A claim is granted in a transaction that the
 * ensemble's leader lets through only while the session lives (S3), and extends nothing.
 *
 * **The proof is a write.** Pings and reads are answered by the server one is connected to, also when that server
 * has lost the ensemble: the session was seen to die 5 s before such a server stopped answering. A write is
 * checked against the session by the ensemble's leader. Checked, not extended: what extends a session is the
 * "touch", which a follower collects and sends with its next answer to the leader's ping, every half tick. So an
 * acknowledged write shows only that touches from before it, by at least half a tick, have arrived: `proofLagMs`. A
 * timeout is at least two ticks unless an operator lowers `minSessionTimeout`, hence a quarter of it is enough.
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
import type { Link, Resumed } from "./client.ts";
import { mode } from "./driver.ts";
import { code, SessionOver } from "./errors.ts";
import { Generation } from "./generation.ts";
import { withParents, type Paths } from "./paths.ts";
import { Queue } from "./queue.ts";
import type { Wire } from "./wire.ts";

const nothing = Buffer.alloc(0);

/** What a session is made of, once the server has made it. */
export interface Opened {
  readonly link: Link;
  readonly store: string;
  readonly generation: number;
}

export class ZooKeeperSession implements Session {
  readonly id: string;
  readonly store: string;
  readonly ttlMs: number;
  readonly proofLagMs: number;
  readonly ticket: string;
  readonly poll: null = null;
  readonly warnings: readonly string[] = [];
  readonly #link: Link;
  readonly #queue: Queue;
  readonly #node: string;

  constructor({ link, store, generation }: Opened, paths: Paths, nonce: string, events: SessionEvents) {
    this.id = `0x${link.id.toString("hex")}`;
    this.store = store;
    this.ttlMs = link.timeoutMs;
    this.proofLagMs = link.timeoutMs / 4;
    this.ticket = writeTicket(link);
    this.#link = link;
    this.#node = paths.session(nonce);
    this.#queue = new Queue({
      paths,
      session: link.id,
      generation: new Generation(paths.generation(nonce), generation, (reason) => events.ended(reason)),
      wire: () => link.wire(),
      events,
    });
  }

  async prove(_held: ReadonlyMap<string, Claim>, call: Call): Promise<Proof> {
    try {
      const stat = await this.#link.during(call, (wire) => wire.setData(this.#node, nothing));
      if (stat === null) return { kind: "dead", reason: "its session node was deleted" };
    } catch (error) {
      if (error instanceof SessionOver) return { kind: "dead", reason: error.message };
      throw error;
    }
    // Another server of the ensemble may have negotiated another timeout. Records are watched, not proven.
    return { kind: "alive", ttlMs: this.#link.timeoutMs, covers: "all", lost: [] };
  }

  async claim(requests: readonly ClaimRequest[], call: Call): Promise<readonly ClaimAnswer[]> {
    return this.#link.during(call, (wire) => this.#queue.claim(wire, requests));
  }

  async release(claims: readonly Claim[], call: Call): Promise<void> {
    await this.#link.during(call, (wire) => this.#queue.release(wire, claims));
  }

  async dispose(claims: readonly Claim[], call: Call): Promise<void> {
    await this.#link.during(call, (wire) => this.#queue.dispose(wire, claims));
  }

  async end(call: Call): Promise<void> {
    await endSession(this.#link, call);
  }

  abandon(): void {
    this.#link.abandon();
  }

  /** The connection is back: holders watch again, those who wait look again. */
  reconnected(hint: () => void): void {
    hint();
    // A connection that ends again meanwhile comes back again.
    this.#queue.watchAgain().catch(() => {});
  }
}

/** Makes the session's two nodes; they go with it. Their paths are its own, so no other session can be in the way. */
export async function createSessionNodes(wire: Wire, paths: Paths, nonce: string): Promise<number> {
  for (let attempt = 0; ; attempt += 1) {
    const outcome = await wire.multi([
      { kind: "create", path: paths.session(nonce), data: nothing, mode: mode.ephemeral },
      { kind: "create", path: paths.generation(nonce), data: nothing, mode: mode.ephemeral },
      // Generations begin at 1: the driver reads "check version 0" as "any version".
      { kind: "set", path: paths.generation(nonce), data: nothing },
    ]);
    const generation = outcome.done ? outcome.results[2]?.stat?.version : undefined;
    if (generation !== undefined && generation > 0) return generation;
    if (attempt > 1) throw new Error("the session's nodes could not be created");
    await createParents(wire, [paths.sessions, paths.elections]);
  }
}

async function createParents(wire: Wire, leaves: readonly string[]): Promise<void> {
  for (const path of new Set(leaves.flatMap(withParents))) {
    // Looked at first: whoever lives under a chroot may not be allowed to create its parents.
    if ((await wire.children(path)) === null)
      await wire.create(path, nothing, mode.persistent, code.nodeExists);
  }
}

/** A session that is over already has been ended. */
export async function endSession(link: Link, call: Call): Promise<void> {
  try {
    await link.closeSession(call);
  } catch (error) {
    if (!(error instanceof SessionOver)) throw error;
  }
}

/**
 * Whoever has the ticket can end the session (or take it over): it is a capability, to be kept where only those can
 * read it who may end it. It holds the session's id and password. (ZooKeeper derives the password from the id by a
 * published constant, so it keeps nobody out who knows the id, and protects nothing else.)
 */
function writeTicket(link: Link): string {
  return ["zk1", link.id.toString("hex"), link.password.toString("hex"), link.timeoutMs].join(".");
}

export function readTicket(ticket: string): { readonly session: Resumed; readonly timeoutMs: number } | null {
  const [, id, password, timeout] = /^zk1\.([0-9a-f]{16})\.([0-9a-f]{32})\.(\d+)$/.exec(ticket) ?? [];
  if (id === undefined || password === undefined || timeout === undefined) return null;
  return {
    session: { id: Buffer.from(id, "hex"), password: Buffer.from(password, "hex") },
    timeoutMs: Number(timeout),
  };
}
