/**
 * What a session lives by: its lock, and in mode "lease" a lease beside it. Our own (`OwnLife`) and another's as we
 * see it (`OtherLife`).
 */

import type { Driver } from "./client.ts";
import { advanceMark, markOf, type Directory } from "./directory.ts";
import type { HostClock } from "./host-clock.ts";
import { LeaseProbe, OwnLease } from "./lease.ts";
import { LockProbe, OwnLock } from "./lock.ts";

/** Where lives are kept, and by which clock leases are judged (`null`: there are none). */
export interface Habitat {
  readonly driver: Driver;
  readonly directory: Directory;
  readonly clock: HostClock | null;
}

export class OwnLife {
  readonly #directory: Directory;
  readonly #id: string;
  readonly #lock: OwnLock;
  readonly #lease: OwnLease | null;
  #given = false;

  private constructor(directory: Directory, id: string, lock: OwnLock, lease: OwnLease | null) {
    this.#directory = directory;
    this.#id = id;
    this.#lock = lock;
    this.#lease = lease;
  }

  /** Throws "busy" while a sweeper is in the way. */
  static begin({ driver, directory, clock }: Habitat, id: string, ttlMs: number): OwnLife {
    const lock = OwnLock.take(driver, directory.session(id));
    try {
      directory.share(directory.session(id));
      if (clock === null) return new OwnLife(directory, id, lock, null);
      const lease = new OwnLease(driver, directory.lease(id), ttlMs, clock);
      directory.share(directory.lease(id));
      return new OwnLife(directory, id, lock, lease);
    } catch (error) {
      directory.removeSession(id);
      lock.drop();
      throw error;
    }
  }

  /** Makes it last for another TTL. Why it is over; `null` while it is not. */
  prove(): string | null {
    const broken = this.#broken();
    if (broken !== null) return broken;
    return this.#lease === null || this.#lease.extend()
      ? null
      : "its lease ran out, and another process said so";
  }

  /** Why it is over; `null` while it is not. */
  over(): string | null {
    const broken = this.#broken();
    if (broken !== null) return broken;
    return this.#lease === null || this.#lease.runs() ? null : "its lease ran out";
  }

  #broken(): string | null {
    return this.#given ? "it was given up" : this.#lock.broken();
  }

  /** Tells those who wait for something of ours that some of it was let go. */
  stir(): void {
    if (!this.#given) advanceMark(this.#directory.session(this.#id));
  }

  /** Ends it: the session's row is gone, now its files. */
  end(): void {
    if (this.#given) return;
    this.#directory.removeSession(this.#id);
    this.abandon();
  }

  /** Lets go of it. The files stay, for whoever finds the lock free. */
  abandon(): void {
    if (this.#given) return;
    this.#given = true;
    this.#lease?.drop();
    this.#lock.drop();
  }
}

/**
 * - `alive`: its lock is held, and its lease runs.
 * - `dead`: its lock was free, and we have it.
 * - `overdue`: its lock is held and its lease is over: dead as soon as somebody declares it.
 * - `missing`: its file is not there. Nobody deletes the file of a living session, but somebody did delete this one.
 */
export type Condition = "alive" | "dead" | "overdue" | "missing";

export class OtherLife {
  readonly #lock: LockProbe | null;
  readonly #lease: LeaseProbe | null;
  readonly #path: string;

  constructor({ driver, directory, clock }: Habitat, id: string) {
    this.#path = directory.session(id);
    this.#lock = LockProbe.open(driver, this.#path);
    try {
      this.#lease = clock === null ? null : LeaseProbe.open(driver, directory.lease(id), clock);
    } catch (error) {
      this.#lock?.close();
      throw error;
    }
  }

  /** Microseconds, and in nobody's way. */
  condition(): Condition {
    if (this.#lock === null) return "missing";
    if (!this.#lock.isHeld()) return "dead";
    return this.#lease?.isOver() === true ? "overdue" : "alive";
  }

  /** Changes when its owner lets go of something; `null` when the file is gone. */
  mark(): number | null {
    return markOf(this.#path);
  }

  /** True once it is dead for good (S1). What proves it is held until `close`. */
  isDeadForGood(): boolean {
    switch (this.condition()) {
      case "alive":
      case "missing":
        return false;
      case "dead":
        return true;
      case "overdue":
        return this.#lease?.declareDead() === true;
    }
  }

  close(): void {
    this.#lock?.close();
    this.#lease?.close();
  }
}
