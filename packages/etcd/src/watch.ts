/**
 * Watches of single keys, all on one stream: one HTTP/2 stream of one connection carries ten thousand (decisions/0002).
 *
 * What is wanted outlives the stream. A new link carries it on: from the revision where each watch began, so that
 * nothing that happened in between is missed, or, where that history is compacted, from now with a `gap`.
 * All of it is hints: the store is asked again, and it decides.
 */

import type { WatchAnswer, WatchRequest } from "./client.ts";
import type { Link } from "./link.ts";

/** What can happen to a watched key. `gap`: something may have been missed. */
export type Happening = "deleted" | "put" | "gap";

export interface KeyWatch {
  readonly key: Buffer;
  /** The first revision to report; `null`: from now, beginning with a gap. */
  readonly from: bigint | null;
  /** Puts do not matter. */
  readonly deletesOnly: boolean;
  readonly heard: (happening: Happening) => void;
}

interface Opened {
  readonly link: Link;
  /** Says something on the stream; `null` ends it. */
  readonly say: (request: WatchRequest | null) => void;
  /** Whether it ever said anything. */
  worked: boolean;
}

export class Watches {
  /** By the id that the stream knows them by. */
  readonly #wanted = new Map<string, KeyWatch>();
  readonly #broken: (cause: unknown) => void;
  #open: Opened | null = null;
  #opening: Promise<void> | null = null;
  #id = 0;

  /** `broken` hears that a stream which had worked has ended: carry on, on this link or another. */
  constructor(broken: (cause: unknown) => void) {
    this.#broken = broken;
  }

  /** Sees to it that what is wanted is watched, on this link. */
  async carryOn(link: Link): Promise<void> {
    if (this.#open?.link === link) return;
    this.#opening ??= this.#begin(link).finally(() => (this.#opening = null));
    await this.#opening;
  }

  /** Returns what ends it. */
  add(watch: KeyWatch): () => void {
    const id = String(++this.#id);
    this.#wanted.set(id, watch);
    this.#create(id, watch);
    return () => {
      if (this.#wanted.delete(id)) this.#open?.say({ cancel_request: { watch_id: id } });
    };
  }

  close(): void {
    this.#wanted.clear();
    this.#open?.say(null);
    this.#open = null;
  }

  async #begin(link: Link): Promise<void> {
    this.#open?.say(null);
    this.#open = null;
    let open: Opened | null = null;
    try {
      const say = await link.watch({
        heard: (answer) => this.#hear(open, answer),
        ended: (cause) => this.#ended(open, cause),
      });
      open = { link, say, worked: false };
    } catch {
      // The link is over, and whoever uses it is told; the next one carries on.
      return;
    }
    if (!link.usable) return;
    this.#open = open;
    for (const [id, watch] of this.#wanted) this.#create(id, watch);
  }

  #create(id: string, { key, from, deletesOnly }: KeyWatch): void {
    this.#open?.say({
      create_request: {
        key,
        watch_id: id,
        ...(from === null ? {} : { start_revision: String(from) }),
        ...(deletesOnly ? { filters: ["Noput"] } : {}),
      },
    });
  }

  #hear(open: Opened | null, answer: WatchAnswer): void {
    if (open === null || this.#open !== open) return;
    open.worked = true;
    if (answer.created && answer.canceled && answer.compact_revision === "0") return this.#denied(open);
    const watch = this.#wanted.get(answer.watch_id);
    if (watch === undefined) return;
    if (answer.canceled) return this.#beginAgain(answer.watch_id, watch);
    if (answer.created && watch.from === null) watch.heard("gap");
    for (const event of answer.events) watch.heard(event.type === "Delete" ? "deleted" : "put");
  }

  /**
   * A watch was not even begun: the stream's token has run out, or we lack a right. The next proof carries on, on
   * another stream; at once would have no end. Until then there is the net under all hints.
   */
  #denied(open: Opened): void {
    this.#open = null;
    open.say(null);
  }

  /** Cancelled, and not by us: the history that it was to begin from is compacted. */
  #beginAgain(id: string, watch: KeyWatch): void {
    const again = { ...watch, from: null };
    this.#wanted.set(id, again);
    this.#create(id, again);
  }

  #ended(open: Opened | null, cause: unknown): void {
    if (open === null || this.#open !== open) return;
    this.#open = null;
    // One that never worked says nothing new: giving up the link for it would have no end.
    if (!open.worked) return;
    open.link.destroy(cause);
    this.#broken(cause);
  }
}
