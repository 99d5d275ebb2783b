/** Elect on etcd: sessions are leases, records are keys on them. How they work together is in `session.ts`. */

import {
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
import { Connection, type Pin } from "./connection.ts";
import { Keys, leaderOf, recordOf } from "./keys.ts";
import type { Link } from "./link.ts";
import type { Settings } from "./options.ts";
import { EtcdSession } from "./session.ts";
import { birth } from "./transactions.ts";
import { checkVersion, warningsOf } from "./warnings.ts";
import { Watches } from "./watch.ts";

/** The net under the watch of an observer, for the case that its connection falls silent. */
const observersPollMs = 5_000;

export const capabilities: Capabilities = {
  reach: "network",
  crash: { ttls: 1, plusMs: 1_000 },
  stopped: { ttls: 1, plusMs: 1_000 },
  order: "fifo",
  // Below etcd's interval of lease checkpoints: no checkpoint can shorten a lease that is renewed every third of its TTL.
  maxTtlMs: 300_000,
  limits: [
    {
      promise: 1,
      sentence:
        "A leader of etcd that was frozen or cut off until leases had run out by its own count may revoke them when it is " +
        "back, though they were renewed at its successor (etcd #12528; forced on 3.5.16): a term then ends early, and until " +
        "its holder is told, which is by push, or its deadline, the next one may have begun. Guarded writes are safe from it.",
    },
    {
      promise: 4,
      sentence:
        "Tokens are revisions of etcd: a cluster restored from a snapshot without --bump-revision and --mark-compacted " +
        "mints old ones again; processes that have seen greater ones refuse to lead, fresh ones cannot know.",
    },
    {
      promise: 10,
      sentence:
        "A new leader of etcd itself renews every lease in full, so that a crash just before is taken over after up to " +
        "twice the TTL + 2 s.",
    },
  ],
};

export class EtcdAdapter implements Adapter {
  readonly kind = "etcd";
  readonly address: string;
  readonly capabilities: Capabilities = capabilities;
  readonly #settings: Settings;
  readonly #keys: Keys;
  readonly #pin: Pin = { cluster: null };
  /** For everything that is not a session's. */
  readonly #connection: Connection;
  readonly #watches: Watches;
  readonly #observers = new Set<() => void>();

  constructor(settings: Settings) {
    this.address = settings.address;
    this.#settings = settings;
    this.#keys = new Keys(settings.namespace);
    this.#connection = new Connection(settings, this.#pin, 0);
    // They read again, which connects again, which carries on their watches.
    this.#watches = new Watches(() => {
      for (const changed of this.#observers) changed();
    });
  }

  async open({ ttlMs, nonce, events }: OpenRequest, call: Call): Promise<Session> {
    // Sessions begin at different members, by a number that differs.
    const connection = new Connection(this.#settings, this.#pin, Number.parseInt(nonce.slice(0, 4), 16));
    try {
      return await connection.use(call, async (link) => {
        checkVersion(link);
        // etcd counts in seconds, and takes its own minimum (2 by default) for less: what it grants is what counts.
        const lease = await link.grant(Math.ceil(ttlMs / 1000), call);
        const record = { key: this.#keys.session(nonce), lease: lease.ID };
        const { succeeded, header } = await link.commit(birth(record), call);
        if (!succeeded) throw new Error(`there is a session ${nonce} already`);
        const session = new EtcdSession({
          ...{ connection, keys: this.#keys, events, nonce },
          footing: { ...record, born: header.revision },
          cluster: link.cluster,
          ttlMs: Number(lease.TTL) * 1000,
          warnings: warningsOf(link),
        });
        await session.listen(link);
        return session;
      });
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  async end(ticket: string, call: Call): Promise<void> {
    const { cluster, lease } = ticketOf(ticket);
    await this.#connection.use(call, async (link) => {
      if (cluster !== link.cluster) {
        throw new RefusedError("cluster", `The session to end is not in the cluster at ${this.address}.`);
      }
      await link.revoke(lease, call);
    });
  }

  async read(election: string, call: Call): Promise<LeaderRecord | null> {
    const { responses } = await this.#look(call, (link) =>
      link.commit({ success: [{ request_range: { key: this.#keys.leader(election) } }] }, call),
    );
    const leader = leaderOf(responses[0]?.response_range?.kvs[0]);
    return leader === null ? null : { id: leader.id, token: leader.token, metadata: leader.metadata };
  }

  async candidates(election: string, call: Call): Promise<readonly CandidateRecord[]> {
    const queue = { ...this.#keys.queue(election), sort_target: "Create", sort_order: "Ascend" } as const;
    const { responses } = await this.#look(call, (link) =>
      link.commit(
        { success: [{ request_range: { key: this.#keys.leader(election) } }, { request_range: queue }] },
        call,
      ),
    );
    const leader = leaderOf(responses[0]?.response_range?.kvs[0]);
    const queued = (responses[1]?.response_range?.kvs ?? []).flatMap((kv) => recordOf(kv) ?? []);
    // It leads from its place in the queue, unless somebody has deleted that.
    const all =
      leader === null || queued.some(({ mark }) => mark === leader.mark) ? queued : [leader, ...queued];
    return all.map(({ id, metadata }) => ({ id, metadata }));
  }

  async watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    const heard = (): void => changed();
    this.#observers.add(heard);
    const unwatch = this.#watches.add({
      key: this.#keys.leader(election),
      from: null,
      deletesOnly: false,
      heard,
    });
    const close = (): void => {
      this.#observers.delete(heard);
      unwatch();
    };
    try {
      await this.#connection.use(call, (link) => this.#watches.carryOn(link));
    } catch (error) {
      close();
      throw error;
    }
    return { pollMs: observersPollMs, close };
  }

  async close(): Promise<void> {
    this.#observers.clear();
    this.#watches.close();
    this.#connection.close();
  }

  async #look<T>(call: Call, work: (link: Link) => Promise<T>): Promise<T> {
    return this.#connection.use(call, async (link) => {
      if (this.#observers.size > 0) await this.#watches.carryOn(link);
      return work(link);
    });
  }
}

function ticketOf(ticket: string): { readonly cluster: string; readonly lease: string } {
  const parts: unknown = JSON.parse(ticket);
  if (typeof parts === "object" && parts !== null && "cluster" in parts && "lease" in parts) {
    const { cluster, lease } = parts;
    if (typeof cluster === "string" && typeof lease === "string") return { cluster, lease };
  }
  throw new RefusedError("ticket", "This is not the ticket of a session in etcd.");
}
