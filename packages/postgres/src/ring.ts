/**
 * Who notices a crash within milliseconds, where `takeover: "connection"` is chosen: the sessions stand in a ring, in the
 * order of their ids, and each has the server wait for the life lock of the next one, on a connection of its own, and
 * then, in the same breath, declare that session dead. This wakes one candidate for each election that it held. Then the
 * watcher goes on to the next.
 *
 * A new session says so to the one before it, once, and that one begins to watch it. Whoever is told looks anew and says nothing:
 * greetings that are passed on would go round for ever.
 *
 * So every session is watched by exactly one other, however many elections they have and whoever leads: one wake-up
 * for a crash, and nothing to be done at a hand-over. A watcher that dies is itself watched; its own watcher then
 * comes to the same lock. One that hangs has told the server what to do; for a second death beside it there is the lease.
 *
 * Burials take turns, and each looks at the tables when its turn has come. Side by side, that of a leader could wake one who
 * is just being buried, too, whose own burial would not see yet that there was something to be woken for.
 *
 * The wait is *shared*: an exclusive waiter would stand in the way of everybody who tests the lock.
 */

import { burialsKey } from "./channels.ts";
import { literal } from "./driver.ts";
import type { Settings } from "./options.ts";
import { connect } from "./server.ts";
import type { Sql } from "./sql.ts";

export class Ring {
  readonly #settings: Settings;
  readonly #sql: Sql;
  readonly #id: string;
  readonly #ttlMs: number;
  #left = false;
  #watch: Watching | null = null;

  constructor(settings: Settings, sql: Sql, id: string, ttlMs: number) {
    this.#settings = settings;
    this.#sql = sql;
    this.#id = id;
    this.#ttlMs = ttlMs;
  }

  /** Looks for the next session, and begins to watch it: at first, and whenever another one may have come in between. */
  enter(): void {
    if (this.#left) return;
    this.#watch?.stop.abort(new Error("the neighbour may have changed"));
    const watch: Watching = { stop: new AbortController(), life: null, looks: 0 };
    this.#watch = watch;
    void this.#run(watch);
  }

  /**
   * The net under it, at every proof: `life` is the key of the lock that should be watched now. What hangs on the way
   * there for a whole period between two proofs is begun anew.
   */
  tend(life: string | null): void {
    const watch = this.#watch;
    if (watch !== null && watch.life !== life && watch.looks++ === 0) return;
    if (watch === null ? life !== null : watch.life !== life) this.enter();
  }

  leave(): void {
    this.#left = true;
    this.#watch?.stop.abort(new Error("the session is over"));
    this.#watch = null;
  }

  async #run(watch: Watching): Promise<void> {
    const { signal } = watch.stop;
    const call = { signal, timeoutMs: this.#ttlMs };
    let finish = (): void => {};
    try {
      const { link } = await connect(this.#settings, { kind: "idle", ttlMs: this.#ttlMs }, call);
      finish = () => link.destroy(new Error("the watch is over"));
      await link.query(`prepare elect_bury (text, text, text[]) as ${this.#sql.bury}`, [], signal);
      // Nobody's burial: the plan of it is made before there is a hurry.
      await link.query(burial(""), [], signal);
      for (;;) {
        const [next] = await link.query(this.#sql.neighbour, [this.#id], signal);
        const { id, life } = next ?? {};
        // Alone. Whoever comes says so.
        if (typeof id !== "string" || typeof life !== "string") break;
        watch.life = life;
        watch.looks = 0;
        await link.query([death(life), turn(this.#settings.schema), burial(id)].join("; "), [], signal);
        watch.life = null;
      }
    } catch {
      // The connection is gone or could not be had: the next proof begins anew.
    } finally {
      finish();
      if (this.#watch === watch) this.#watch = null;
    }
  }
}

function death(life: string): string {
  return `select from pg_advisory_xact_lock_shared(${literal(life)}::bigint)`;
}

function turn(schema: string): string {
  return `select from pg_advisory_xact_lock(${burialsKey(schema)})`;
}

/** Prepared by SQL, because a proxy may give other names to what is prepared by the protocol. */
function burial(session: string): string {
  return `execute elect_bury (${literal(session)}, '', '{}')`;
}

interface Watching {
  readonly stop: AbortController;
  /** The key of the life lock that is waited for; `null` on the way there. */
  life: string | null;
  /** How often it was found on the way. */
  looks: number;
}
