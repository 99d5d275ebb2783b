/**
 * Looking on: who leads, who waits, and what changes, on one connection that no session depends on.
 *
 * It listens only while somebody watches. A connection that listens is woken by every notification in the database, and makes
 * each claim announce itself: whoever merely asks now and then must not slow hand-overs down.
 */

import type { Call, Watch } from "@elect/core/adapter";

import { changesChannel, onlookersKey } from "./channels.ts";
import { unlessAborted, type Link } from "./client.ts";
import type { Row, Value } from "./driver.ts";
import { refusalIn } from "./errors.ts";
import type { Settings } from "./options.ts";
import { connect } from "./server.ts";

/** A leader that dies says nothing, and neither does a lease that runs out. */
const pollMs = 5_000;
/** By what the server's silence towards this connection is judged; no lease hangs on it. */
const patienceMs = 30_000;

interface Watcher {
  readonly election: string;
  readonly changed: () => void;
}

interface Connection {
  readonly link: Link;
  /** Settles when it listens; `null` while nobody asked it to. */
  listening: Promise<void> | null;
}

export class Lookout {
  readonly #settings: Settings;
  readonly #watchers = new Set<Watcher>();
  #current: Connection | null = null;
  #connecting: Promise<Connection> | null = null;
  /** Statements under way. */
  #running = 0;
  #closed = false;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  async run(text: string, values: readonly Value[], call: Call): Promise<readonly Row[]> {
    this.#running += 1;
    try {
      const connection = await this.#connected(call);
      // After a gap: from the answer on, changes are heard.
      if (this.#watchers.size > 0) await this.#listen(connection, call);
      return await connection.link.query(text, values, call.signal);
    } catch (error) {
      throw refusalIn(error, this.#settings.address);
    } finally {
      this.#running -= 1;
      this.#rest();
    }
  }

  async watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    const watcher = { election, changed };
    this.#watchers.add(watcher);
    const close = (): void => {
      this.#watchers.delete(watcher);
      this.#rest();
    };
    try {
      await this.#listen(await this.#connected(call), call);
    } catch (error) {
      close();
      throw error;
    }
    return { pollMs, close };
  }

  async close(call: Call): Promise<void> {
    this.#closed = true;
    this.#watchers.clear();
    await this.#current?.link.end(call);
  }

  async #connected(call: Call): Promise<Connection> {
    if (this.#closed) throw new Error("The backend is closed.");
    if (this.#current?.link.open === true) return this.#current;
    this.#connecting ??= this.#connect(call).finally(() => (this.#connecting = null));
    return unlessAborted(this.#connecting, call.signal);
  }

  async #connect(call: Call): Promise<Connection> {
    let mine: Connection | null = null;
    const { link } = await connect(this.#settings, { kind: "idle", ttlMs: patienceMs }, call, {
      notified: (_, elections) => this.#tell(elections === "" ? null : elections.split("\n")),
      // From here until it listens again nothing is heard, so there may be something to hear.
      lost: () => {
        if (mine !== null && this.#current === mine) this.#tell(null);
      },
    });
    if (this.#closed) {
      const closed = new Error("The backend is closed.");
      link.destroy(closed);
      throw closed;
    }
    mine = { link, listening: null };
    this.#current = mine;
    return mine;
  }

  async #listen(connection: Connection, call: Call): Promise<void> {
    connection.listening ??= this.#begin(connection.link, call).catch((error: unknown) => {
      connection.listening = null;
      throw error;
    });
    await unlessAborted(connection.listening, call.signal);
  }

  async #begin(link: Link, call: Call): Promise<void> {
    const { schema } = this.#settings;
    await link.query(`listen ${changesChannel(schema)}`, [], call.signal);
    await link.query(`select pg_advisory_lock_shared(${onlookersKey(schema)})`, [], call.signal);
    this.#tell(null);
  }

  /** Hangs up when nobody watches any more and no answer is awaited; who asks next connects again. */
  #rest(): void {
    const current = this.#current;
    if (current === null || current.listening === null || this.#watchers.size + this.#running > 0) return;
    this.#current = null;
    current.link.destroy(new Error("nobody watches any more"));
  }

  #tell(elections: readonly string[] | null): void {
    for (const { election, changed } of [...this.#watchers]) {
      if (elections === null || elections.includes(election)) changed();
    }
  }
}
