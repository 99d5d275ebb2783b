/** Elect on ZooKeeper: sessions for candidates, one reading connection for everybody else. */

import {
  InvalidOptionError,
  RefusedError,
  type Adapter,
  type Call,
  type CandidateRecord,
  type Capabilities,
  type LeaderRecord,
  type OpenRequest,
  type Session,
  type Watch,
} from "@elect/core/adapter";
import { Link } from "./client.ts";
import type { Target } from "./options.ts";
import { Paths } from "./paths.ts";
import { createSessionNodes, endSession, readTicket, ZooKeeperSession } from "./session.ts";
import { Reader } from "./watch.ts";

const capabilities: Capabilities = {
  reach: "network",
  // A session is ended on a tick, so up to one tick late, and what a follower heard of it reaches the leader of the
  // ensemble up to half a tick later: 1.5 × tickTime (2 s unless configured), and 0.5 s to be told and to act.
  crash: { ttls: 1, plusMs: 3_500 },
  stopped: { ttls: 1, plusMs: 3_500 },
  order: "fifo",
  // The protocol's field. What a server grants is its own affair: see the refusal in `open`.
  maxTtlMs: 2 ** 31 - 1,
  limits: [
    {
      promise: 1,
      sentence:
        "Needs minSessionTimeout to be at least 2 × tickTime on every server, which is ZooKeeper's default.",
    },
  ],
};

export class ZooKeeperAdapter implements Adapter {
  readonly kind: string = "zookeeper";
  readonly address: string;
  readonly capabilities: Capabilities = capabilities;
  readonly #target: Target;
  readonly #paths: Paths;
  readonly #reader: Reader;

  constructor(target: Target) {
    this.address = target.address;
    this.#target = target;
    this.#paths = new Paths(target.chroot, target.namespace);
    this.#reader = new Reader(target, this.#paths);
  }

  /** A new session is a new driver client: once its session is over, the driver's client is of no more use. */
  async open({ ttlMs, nonce, events }: OpenRequest, call: Call): Promise<Session> {
    const paths = this.#paths;
    let session: ZooKeeperSession | null = null;
    const link = new Link(this.#target, Math.ceil(ttlMs), {
      connected: (first) => {
        if (!first) session?.reconnected(() => events.hint(null));
      },
      disconnected: (cause) => events.doubt(cause),
      ended: (reason) => events.ended(reason.message),
    });
    try {
      const { store, generation } = await link.during(call, async (wire) => {
        if (link.timeoutMs < ttlMs) throw this.#tooLong(ttlMs, link.timeoutMs);
        const generation = await createSessionNodes(wire, paths, nonce);
        const base = await wire.read(paths.base);
        if (base === null) throw new Error(`${paths.base} was deleted just now`);
        // ZooKeeper gives its ensembles no identity; this node's birth serves as one.
        const store = `zookeeper:${base.stat.czxid.toString("hex")}:${base.stat.ctime.toString("hex")}`;
        return { store, generation };
      });
      session = new ZooKeeperSession({ link, store, generation }, paths, nonce, events);
      return session;
    } catch (error) {
      link.abandon();
      throw error;
    }
  }

  async end(ticket: string, call: Call): Promise<void> {
    const parsed = readTicket(ticket);
    if (parsed === null) {
      throw new InvalidOptionError(
        "ticket",
        "The ticket is not one of a session on ZooKeeper; take Session.ticket whole.",
      );
    }
    const ignore = { connected() {}, disconnected() {}, ended() {} };
    const link = new Link(this.#target, parsed.timeoutMs, ignore, parsed.session);
    try {
      await endSession(link, call);
    } finally {
      link.abandon();
    }
  }

  async read(election: string, call: Call): Promise<LeaderRecord | null> {
    return this.#reader.leader(election, call);
  }

  async candidates(election: string, call: Call): Promise<readonly CandidateRecord[]> {
    return this.#reader.candidates(election, call);
  }

  async watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    return this.#reader.watch(election, changed, call);
  }

  async close(call: Call): Promise<void> {
    await this.#reader.close(call);
  }

  #tooLong(asked: number, granted: number): RefusedError {
    return new RefusedError(
      "ttl",
      `ZooKeeper at ${this.address} grants sessions of ${granted} ms at most, and ${asked} ms were asked for: ask for ` +
        `less, or raise maxSessionTimeout (default: 20 × tickTime) on every server.`,
    );
  }
}
