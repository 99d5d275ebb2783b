/**
 * S4, no late ghosts: every claim is granted in a transaction that checks the version of a node of the session's own.
 * Raising it (any write does) refuses all claims that carry an older one, wherever they may have been held up.
 * (ZooKeeper also refuses by itself what comes over a connection that its session has left: the server closes it, or
 * says that the session has moved. We would not know of an exception, and do not rest on there being none.)
 */

import { code } from "./errors.ts";
import { type MultiOutcome, type Operation, type Wire } from "./wire.ts";

const nothing = Buffer.alloc(0);

export class Generation {
  readonly #path: string;
  readonly #deleted: (reason: string) => void;
  /** What claims carry. `null`: raise it before the next claim, to learn it. */
  #version: number | null;

  /** `deleted`: told when the node is gone, so that nothing can be claimed in this session any more. */
  constructor(path: string, version: number, deleted: (reason: string) => void) {
    this.#path = path;
    this.#version = version;
    this.#deleted = deleted;
  }

  get known(): boolean {
    return this.#version !== null;
  }

  /** Being a write, it also makes sure that what is read next shows every older request that came through. */
  async raise(wire: Wire): Promise<void> {
    this.#version = null;
    const stat = await wire.setData(this.#path, nothing);
    if (stat === null) throw this.#gone();
    this.#version = stat.version;
  }

  /** The first operation of every multi that creates something. */
  check(): Operation {
    if (this.#version === null) throw new Error("the session's generation is unknown");
    return { kind: "check", path: this.#path, version: this.#version };
  }

  /** Throws if it was this check that kept the multi from being done. */
  accept(outcome: MultiOutcome): void {
    if (outcome.done || outcome.failed !== 0) return;
    this.#version = null;
    throw outcome.code === code.noNode ? this.#gone() : new Error("the claim's generation is outdated");
  }

  #gone(): Error {
    const reason = "its generation node was deleted";
    this.#deleted(reason);
    return new Error(reason);
  }
}
