/** The way to the cluster: a link to one member, and after its end one to the next. One connection at a time. */

import { RefusedError, type Call } from "@elect/core/adapter";
import { Link } from "./link.ts";
import type { Settings } from "./options.ts";

/**
 * Which cluster a backend talks to, from the first answer on. Another one behind the same addresses is refused: two
 * clusters in one list of hosts would mean two leaders.
 */
export interface Pin {
  cluster: string | null;
}

export class Connection {
  readonly #settings: Settings;
  readonly #pin: Pin;
  #link: Link | null = null;
  #greeting: Promise<Link> | null = null;
  /** Which host is next. */
  #turn: number;
  #closed = false;

  /** `turn` spreads processes over the members. */
  constructor(settings: Settings, pin: Pin, turn: number) {
    this.#settings = settings;
    this.#pin = pin;
    this.#turn = turn;
  }

  /** Runs `work` on a live link, connecting first if need be. When the call is over, so is the link it may hang on. */
  async use<T>(call: Call, work: (link: Link) => Promise<T>): Promise<T> {
    call.signal.throwIfAborted();
    const giveUp = (): void => this.#link?.destroy(call.signal.reason);
    call.signal.addEventListener("abort", giveUp, { once: true });
    try {
      const link = await this.#current(call);
      call.signal.throwIfAborted();
      return await work(link);
    } finally {
      call.signal.removeEventListener("abort", giveUp);
    }
  }

  close(): void {
    this.#closed = true;
    this.#link?.destroy(new Error(`the connection to ${this.#settings.address} was closed`));
  }

  async #current(call: Call): Promise<Link> {
    if (this.#greeting !== null) return this.#greeting;
    if (this.#link !== null) return this.#link;
    this.#greeting = this.#connect(call);
    try {
      return await this.#greeting;
    } finally {
      this.#greeting = null;
    }
  }

  /** Asks each host once, at once: one that refuses connections must not cost the call. */
  async #connect(call: Call): Promise<Link> {
    const { hosts } = this.#settings;
    for (let left = hosts.length; ; left -= 1) {
      if (this.#closed) throw new Error(`the connection to ${this.#settings.address} was closed`);
      const host = hosts[this.#turn % hosts.length] ?? hosts[0];
      const link = new Link(host, this.#settings, (over) => this.#lost(over));
      this.#link = link;
      try {
        await link.greet(call);
        this.#checkCluster(link);
        return link;
      } catch (error) {
        link.destroy(error);
        if (left === 1 || call.signal.aborted || error instanceof RefusedError) throw error;
      }
    }
  }

  #checkCluster({ cluster, member }: Link): void {
    this.#pin.cluster ??= cluster;
    if (cluster === this.#pin.cluster) return;
    throw new RefusedError(
      "cluster",
      `etcd at ${member} belongs to cluster ${BigInt(cluster).toString(16)}, but this process has elected on cluster ` +
        `${BigInt(this.#pin.cluster).toString(16)} at ${this.#settings.address}. List the members of one cluster only; ` +
        `if it was replaced on purpose, restart the processes that elect on it.`,
    );
  }

  #lost(link: Link): void {
    if (this.#link !== link) return;
    this.#link = null;
    this.#turn += 1;
  }
}
