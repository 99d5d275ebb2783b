/**
 * A lease beside the lock: until when, by the host's clock, a session may be believed whose process exists and may
 * be stopped. A tiny database of its own for each session, so that a proof waits for nobody and nobody for a proof.
 *
 * It is as forgetful as the lock: a reboot ends both, so it is never forced to the disk, and a damaged one is
 * judged by the lock alone.
 */

import { atOnce } from "./busy.ts";
import { count, text, type Database, type Driver, type Statement } from "./client.ts";
import { identityOf } from "./directory.ts";
import { isBusy, isDamaged } from "./errors.ts";
import type { HostClock } from "./host-clock.ts";

/** One row. `until` is a reading of the clock named in `clock`, and means nothing to whoever has another. */
const schema = `
  drop table if exists lease;
  create table lease (clock text not null, until integer not null, dead integer not null) strict;`;

const settings = "pragma journal_mode = memory; pragma synchronous = off;";

export class OwnLease {
  readonly #clock: HostClock;
  readonly #ttlMs: number;
  readonly #database: Database;
  readonly #extend: Statement;
  readonly #look: Statement;

  /** Called by the owner alone, while it holds the session's lock and nobody knows of the session yet. */
  constructor(driver: Driver, path: string, ttlMs: number, clock: HostClock) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#database = driver.open(path, "write");
    try {
      this.#database.exec(`${settings} begin immediate; ${schema}`);
      this.#database.prepare("insert into lease values (?, ?, 0)").run(clock.id, this.#until());
      this.#database.exec("commit");
      this.#extend = this.#database.prepare("update lease set until = ? where not dead");
      this.#look = this.#database.prepare("select until, dead from lease");
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** False: the session was declared dead, which no proof can undo (S1). */
  extend(): boolean {
    return atOnce(() => this.#extend.run(this.#until()).changes) === 1;
  }

  /** Whether nobody may have declared the session dead. */
  runs(): boolean {
    const row = atOnce(() => this.#look.get());
    return row !== undefined && count(row, "dead") === 0 && count(row, "until") > this.#clock.now();
  }

  drop(): void {
    this.#database.close();
  }

  #until(): number {
    return this.#clock.now() + Math.ceil(this.#ttlMs) + 1;
  }
}

/** Another's lease. */
export class LeaseProbe {
  readonly #clock: HostClock;
  readonly #database: Database;
  #statement: Statement | null = null;

  private constructor(database: Database, clock: HostClock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** `null`: there is no such file, or it is damaged: its owner was killed while it wrote it. */
  static open(driver: Driver, path: string, clock: HostClock): LeaseProbe | null {
    if (identityOf(path) === null) return null;
    const database = driver.open(path, "write");
    try {
      database.exec(settings);
      return new LeaseProbe(database, clock);
    } catch (error) {
      database.close();
      if (isDamaged(error)) return null;
      throw error;
    }
  }

  isOver(): boolean {
    try {
      const { dead, until } = this.#read();
      return dead || until < this.#clock.now();
    } catch (error) {
      // It is being extended this moment; or the lock alone decides.
      if (isBusy(error) || isDamaged(error)) return false;
      throw error;
    }
  }

  /** Ends the session in one step, if its lease is over in that step (S1). Whether it is dead now. */
  declareDead(): boolean {
    return atOnce(() => {
      const declare = this.#database.prepare("update lease set dead = 1 where clock = ? and until < ?");
      declare.run(this.#clock.id, this.#clock.now());
      return this.#read().dead;
    });
  }

  #read(): { dead: boolean; until: number } {
    this.#statement ??= this.#database.prepare("select clock, until, dead from lease");
    const row = this.#statement.get();
    if (row === undefined) return { dead: false, until: Infinity };
    // By another clock it cannot be judged; the lock alone decides.
    const until = text(row, "clock") === this.#clock.id ? count(row, "until") : Infinity;
    return { dead: count(row, "dead") !== 0, until };
  }

  close(): void {
    this.#database.close();
  }
}
