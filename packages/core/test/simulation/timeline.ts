/** True time, which nobody in the simulation can read, and everything that is still to happen in it. */

interface Happening {
  at: number;
  order: number;
  readonly host: Host | null;
  readonly fire: () => void;
  cancelled: boolean;
}

/** What runs on its own and can be stopped or die: a process. Things of no host (the store, a wire) always go on. */
export interface Host {
  /** Until when a SIGSTOP, a blocked event loop or a suspend lasts. */
  stoppedUntil: number;
  dead: boolean;
}

export class Timeline {
  now = 0;
  readonly #heap: Happening[] = [];
  readonly #shuffle: () => number;
  #count = 0;

  constructor(shuffle: () => number) {
    this.#shuffle = shuffle;
  }

  in(ms: number, host: Host | null, fire: () => void): { cancel(): void } {
    const happening: Happening = {
      at: this.now + Math.max(0, ms),
      order: ++this.#count,
      host,
      fire,
      cancelled: false,
    };
    this.#push(happening);
    return { cancel: () => void (happening.cancelled = true) };
  }

  /** Stops a host. What is due meanwhile happens when it goes on, in any order; before all that, `resumed`. */
  stop(host: Host, ms: number, resumed: () => void): void {
    host.stoppedUntil = Math.max(host.stoppedUntil, this.now + ms);
    this.#push({ at: host.stoppedUntil, order: -1, host, fire: resumed, cancelled: false });
  }

  /** Lets happen what is due until `end`, one thing at a time; after each, promises settle and `then` is called. */
  async run(end: number, then: () => void): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      this.#pop();
      if (next.cancelled || next.host?.dead === true) continue;
      this.now = Math.max(this.now, next.at);
      const until = next.host?.stoppedUntil ?? 0;
      if (until > this.now) {
        next.at = until;
        next.order = 1 + Math.floor(this.#shuffle() * this.#count);
        this.#push(next);
        continue;
      }
      next.fire();
      await new Promise<void>((settled) => setImmediate(settled));
      then();
    }
    this.now = end;
  }

  #push(happening: Happening): void {
    const heap = this.#heap;
    let index = heap.push(happening) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(index, parent)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    this.#swap(0, heap.length - 1);
    heap.pop();
    for (let index = 0; ;) {
      const left = 2 * index + 1;
      let first = index;
      if (left < heap.length && this.#before(left, first)) first = left;
      if (left + 1 < heap.length && this.#before(left + 1, first)) first = left + 1;
      if (first === index) return;
      this.#swap(index, first);
      index = first;
    }
  }

  #before(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return false;
    return a.at === b.at ? a.order < b.order : a.at < b.at;
  }

  #swap(one: number, other: number): void {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return;
    this.#heap[one] = b;
    this.#heap[other] = a;
  }
}
