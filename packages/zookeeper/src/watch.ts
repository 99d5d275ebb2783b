/** Looking on: one connection for all questions and observers of a backend, made when the first one comes. */

import {
  RefusedError,
  type Call,
  type CandidateRecord,
  type LeaderRecord,
  type Watch,
} from "@elect/core/adapter";
import { Link } from "./client.ts";
import { SessionOver } from "./errors.ts";
import type { Target } from "./options.ts";
import { decodeRecord, inWaitingOrder, leaderOf, type Paths } from "./paths.ts";
import { endSession } from "./session.ts";
import type { Changed } from "./watches.ts";
import type { Wire } from "./wire.ts";

/** This session owns nothing; its timeout only decides when the server forgets it. */
const timeoutMs = 30_000;
const pollMs = 10_000;

interface Observer {
  readonly path: string;
  readonly onChange: Changed;
  readonly changed: () => void;
}

export class Reader {
  readonly #target: Target;
  readonly #paths: Paths;
  readonly #observers = new Set<Observer>();
  #link: Link | null = null;
  #closed = false;

  constructor(target: Target, paths: Paths) {
    this.#target = target;
    this.#paths = paths;
  }

  async leader(election: string, call: Call): Promise<LeaderRecord | null> {
    const path = this.#paths.leader(election);
    return this.#ask(call, async (wire) => {
      const [, node] = await Promise.all([wire.sync(this.#paths.base), wire.read(path)]);
      const leader = leaderOf(node);
      if (node !== null && leader === null) throw foreign(path, this.#target.address);
      return leader;
    });
  }

  async candidates(election: string, call: Call): Promise<readonly CandidateRecord[]> {
    const path = this.#paths.election(election);
    return this.#ask(call, async (wire) => {
      const [, children] = await Promise.all([wire.sync(this.#paths.base), wire.children(path)]);
      const nodes = await Promise.all(
        inWaitingOrder(children ?? []).map(({ node }) => wire.read(`${path}/${node}`)),
      );
      // A candidate whose session has been replaced has two places, until the server ends the former.
      const byNonce = new Map<string, CandidateRecord>();
      for (const node of nodes) {
        const record = node === null ? null : decodeRecord(node.data);
        if (record !== null) byNonce.set(record.nonce, { id: record.id, metadata: record.metadata });
      }
      return [...byNonce.values()];
    });
  }

  async watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    const path = this.#paths.leader(election);
    const observer: Observer = {
      path,
      changed,
      onChange: () => {
        if (!this.#observers.has(observer)) return;
        // Watched again first: what is read after `changed` is then newer than the watch.
        this.#watchAgain(observer);
        changed();
      },
    };
    await this.#ask(call, (wire) => wire.watch(path, observer.onChange));
    this.#observers.add(observer);
    return { pollMs, close: () => void this.#observers.delete(observer) };
  }

  async close(call: Call): Promise<void> {
    this.#closed = true;
    this.#observers.clear();
    const link = this.#link;
    this.#link = null;
    if (link === null) return;
    try {
      if (link.connected) await endSession(link, call);
    } finally {
      link.abandon();
    }
  }

  async #ask<T>(call: Call, work: (wire: Wire) => Promise<T>): Promise<T> {
    const link = (this.#link ??= this.#open());
    try {
      return await link.during(call, work, { sparing: true });
    } catch (error) {
      if (!(error instanceof SessionOver)) throw error;
      // Nobody had asked for so long that the server forgot us. Nothing hangs on this session: take another.
      if (this.#link === link) this.#link = null;
      this.#link ??= this.#open();
      return this.#link.during(call, work, { sparing: true });
    }
  }

  #open(): Link {
    // Whoever asks once more would open a connection that nobody closes.
    if (this.#closed) throw new Error("The backend is closed.");
    const link: Link = new Link(this.#target, timeoutMs, {
      connected: () => this.#afterGap(true),
      disconnected: () => this.#afterGap(false),
      ended: () => {
        if (this.#link === link) this.#link = null;
        this.#afterGap(false);
      },
    });
    return link;
  }

  /** A change may have been missed. (Reading again also brings the connection back.) */
  #afterGap(connected: boolean): void {
    for (const observer of this.#observers) {
      if (connected) this.#watchAgain(observer);
      observer.changed();
    }
  }

  #watchAgain({ path, onChange }: Observer): void {
    // Where it fails the connection has ended, and the next one begins with this.
    void this.#link
      ?.wire()
      .watch(path, onChange)
      .catch(() => {});
  }
}

function foreign(path: string, address: string): RefusedError {
  return new RefusedError(
    "foreign-record",
    `The node ${path} of ZooKeeper at ${address} was not written by this version of Elect: update all candidates to ` +
      `one version, or give this backend a namespace of its own.`,
  );
}
