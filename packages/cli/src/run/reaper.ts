/**
 * Ends a group of processes before a deadline that somebody else moves on: SIGTERM, time to stop, SIGKILL. Two processes
 * have one for each command, so that either can be stopped or killed and the other still ends it.
 */

import { hostNow } from "../host-clock.ts";
import type { Group } from "./group.ts";

export interface Schedule {
  /** When the term ends unless it is proven again, on the host's clock. */
  readonly deadline: number;
  /** How long before its death the command is told. */
  readonly grace: number;
  /** How long before the deadline it is to be dead. */
  readonly margin: number;
}

/** How often a group that was told to end is looked at, in ms. */
const lookEvery = 10;

export class Reaper {
  /** Settles when no process of the group runs any more. */
  readonly gone: Promise<void>;
  readonly #group: Group;
  readonly #grace: number;
  readonly #margin: number;
  readonly #settle: () => void;
  #deadline: number;
  /** When it is killed at the latest; `null` while it was not told to end. */
  #killAt: number | null = null;
  #killed = false;
  #expired = false;
  #over = false;
  #timer: NodeJS.Timeout | undefined;
  #watching = false;

  constructor(group: Group, { deadline, grace, margin }: Schedule) {
    this.#group = group;
    this.#deadline = deadline;
    this.#grace = grace;
    this.#margin = margin;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gone = promise;
    this.#settle = resolve;
    this.#arm();
  }

  /** Whether the command was told to end, or killed, by this reaper. */
  get ending(): boolean {
    return this.#killAt !== null;
  }

  /** Whether it was because the deadline came near. */
  get expired(): boolean {
    return this.#expired;
  }

  /** A proof came: the deadline is a later one. */
  extend(deadline: number): void {
    this.#deadline = Math.max(this.#deadline, deadline);
    this.#arm();
  }

  /** Tells it to end, and ends it when `grace` ms have passed, or the deadline comes near. */
  end(grace: number): void {
    if (this.#over) return;
    const killAt = hostNow() + grace;
    if (this.#killAt === null) {
      void this.#group.signal("SIGTERM");
      void this.#watch();
    }
    this.#killAt = Math.min(this.#killAt ?? Infinity, killAt);
    this.#arm();
  }

  kill(): void {
    if (this.#over) return;
    this.#killAt = -Infinity;
    this.#killed = true;
    void this.#group.signal("SIGKILL");
    void this.#watch();
  }

  /** Somebody else has seen that the group is gone. */
  dismiss(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#settle();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#over || this.#killed) return;
    const end = this.#deadline - this.#margin;
    const next = this.#killAt === null ? end - this.#grace : Math.min(this.#killAt, end);
    this.#timer = setTimeout(() => this.#due(), Math.min(Math.max(0, next - hostNow()), 2 ** 31 - 1));
  }

  #due(): void {
    const now = hostNow();
    const end = this.#deadline - this.#margin;
    this.#expired ||= this.#killAt === null && now >= end - this.#grace;
    if (now >= Math.min(this.#killAt ?? Infinity, end)) this.kill();
    else if (this.#killAt === null && this.#expired) this.end(this.#grace);
    else this.#arm();
  }

  async #watch(): Promise<void> {
    if (this.#watching) return;
    this.#watching = true;
    while (!this.#over) {
      if (await this.#group.isGone(hostNow())) return this.dismiss();
      // What was forked in the middle of a signal, or has hidden from the first one.
      if (this.#killed) await this.#group.signal("SIGKILL");
      await new Promise<void>((resolve) => setTimeout(resolve, lookEvery));
    }
  }
}
