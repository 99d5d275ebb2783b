/** One direction of a proxied connection: what came in on one side waits here until it may go out on the other. */

import type { Socket } from "node:net";

/** `up` is client → server, `down` is server → client. */
export type Direction = "up" | "down" | "both";

/** How slow a link is. */
export interface Slowness {
  /** Every chunk arrives so many ms later… */
  readonly delayMs?: number;
  /** …give or take up to so many. Order is kept. @default 0 */
  readonly jitterMs?: number;
  /** The width of the link. @default unlimited */
  readonly bytesPerSecond?: number;
}

/** Bytes, or how the sender ended the stream: FIN or RST. */
export type Piece = Buffer | "end" | "reset";

/** How long after late bytes the end of a stream follows: long enough for the receiver to act on them. */
const endAfterLateBytes = 500;

export class FaultPipe {
  readonly #sink: Socket;
  readonly #ended: () => void;
  readonly #queue: { readonly piece: Piece; due: number }[] = [];
  #open = false;
  #held = false;
  #over = false;
  #slow: Slowness = {};
  #lastDue = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `ended` is called after the end of the stream was passed on. */
  constructor(sink: Socket, ended: () => void) {
    this.#sink = sink;
    this.#ended = ended;
  }

  /** Whether the end of the stream was passed on. */
  get over(): boolean {
    return this.#over;
  }

  /** The sink is connected: what waits may go. */
  open(): void {
    this.#open = true;
    this.#pump();
  }

  hold(): void {
    this.#held = true;
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    const last = this.#queue.at(-1);
    if (last?.piece === "end" && this.#queue.length > 1) last.due = performance.now() + endAfterLateBytes;
    this.#pump();
  }

  slow(slowness: Slowness): void {
    this.#slow = slowness;
  }

  push(piece: Piece): void {
    const { delayMs = 0, jitterMs = 0, bytesPerSecond } = this.#slow;
    const now = performance.now();
    const size = typeof piece === "string" ? 0 : piece.length;
    const transfer = bytesPerSecond === undefined ? 0 : (size / bytesPerSecond) * 1000;
    // Never before what was pushed earlier: a link may be slow, but it does not reorder.
    const arrival = Math.max(now, this.#lastDue, now + delayMs + (Math.random() * 2 - 1) * jitterMs);
    this.#lastDue = arrival + transfer;
    this.#queue.push({ piece, due: this.#lastDue });
    this.#pump();
  }

  /** Forgets what waits. */
  discard(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
  }

  #pump(): void {
    clearTimeout(this.#timer);
    while (this.#open && !this.#held) {
      const next = this.#queue[0];
      if (next === undefined) return;
      const wait = next.due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#pump(), wait);
        return;
      }
      this.#queue.shift();
      this.#pass(next.piece);
    }
  }

  #pass(piece: Piece): void {
    if (this.#over) return;
    if (typeof piece !== "string") {
      if (!this.#sink.destroyed) this.#sink.write(piece);
      return;
    }
    this.#over = true;
    if (piece === "reset") this.#sink.resetAndDestroy();
    else if (!this.#sink.destroyed) this.#sink.end();
    this.#ended();
  }
}
