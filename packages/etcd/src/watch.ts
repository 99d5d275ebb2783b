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

interface Wanted {
  readonly watch: KeyWatch;
  from: bigint | null;
  /** By which the stream knows it. */
  id: string;
}

interface Opened {
  readonly link: Link;
  /** Says something on the stream; `null` ends it. */
  readonly say: (request: WatchRequest | null) => void;
  /** Whether it ever said anything. */
  worked: boolean;
}

export class Watches {
  /** By id. */
  readonly #wanted = new Map<string, Wanted>();
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
    const wanted: Wanted = { watch, from: watch.from, id: "" };
    this.#want(wanted);
    return () => {
      if (this.#wanted.delete(wanted.id)) this.#open?.say({ cancel_request: { watch_id: wanted.id } });
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
    for (const wanted of this.#wanted.values()) this.#create(wanted);
  }

  #want(wanted: Wanted): void {
    // A new one each time: a stream remembers also the ids that it has cancelled.
    wanted.id = String(++this.#id);
    this.#wanted.set(wanted.id, wanted);
    this.#create(wanted);
  }

  #create({ watch: { key, deletesOnly }, from, id }: Wanted): void {
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
    const wanted = this.#wanted.get(answer.watch_id);
    if (wanted === undefined) return;
    if (answer.canceled) return this.#beginAgain(wanted);
    if (answer.created && wanted.from === null) wanted.watch.heard("gap");
    for (const event of answer.events) wanted.watch.heard(event.type === "Delete" ? "deleted" : "put");
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
  #beginAgain(wanted: Wanted): void {
    this.#wanted.delete(wanted.id);
    wanted.from = null;
    this.#want(wanted);
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
