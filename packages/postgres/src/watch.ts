/** Looking on: who leads, who waits, and what changes, on one connection that no session depends on. */

import type { Call, Watch } from "@elect/core/adapter";

import { changesChannel, onlookersKey } from "./channels.ts";
import { unlessAborted, type Link, type Row, type Value } from "./client.ts";
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

export class Lookout {
  readonly #settings: Settings;
  readonly #watchers = new Set<Watcher>();
  #link: Link | null = null;
  #connecting: Promise<Link> | null = null;
  #closed = false;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  async run(text: string, values: readonly Value[], call: Call): Promise<readonly Row[]> {
    const link = await this.#connected(call);
    try {
      return await link.query(text, values, call.signal);
    } catch (error) {
      throw refusalIn(error, this.#settings.address);
    }
  }

  async watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    await this.#connected(call);
    const watcher = { election, changed };
    this.#watchers.add(watcher);
    return { pollMs, close: () => void this.#watchers.delete(watcher) };
  }

  async close(call: Call): Promise<void> {
    this.#closed = true;
    this.#watchers.clear();
    await this.#link?.end(call);
  }

  async #connected(call: Call): Promise<Link> {
    if (this.#closed) throw new Error("The backend is closed.");
    if (this.#link?.open === true) return this.#link;
    this.#connecting ??= this.#connect(call).finally(() => (this.#connecting = null));
    return unlessAborted(this.#connecting, call.signal);
  }

  async #connect(call: Call): Promise<Link> {
    let heard: Link | null = null;
    const { link } = await connect(this.#settings, { kind: "idle", ttlMs: patienceMs }, call, {
      notified: (_, elections) => this.#tell(elections === "" ? null : elections.split("\n")),
      // From here to the next connection nothing is heard, so there may be something to hear.
      lost: () => {
        if (heard !== null && this.#link === heard) this.#tell(null);
      },
    });
    try {
      const { schema } = this.#settings;
      await link.query(`listen ${changesChannel(schema)}`, [], call.signal);
      await link.query(`select pg_advisory_lock_shared(${onlookersKey(schema)})`, [], call.signal);
      if (this.#closed) throw new Error("The backend is closed.");
    } catch (error) {
      link.destroy(error);
      throw error;
    }
    heard = link;
    this.#link = link;
    this.#tell(null);
    return link;
  }

  #tell(elections: readonly string[] | null): void {
    for (const { election, changed } of [...this.#watchers]) {
      if (elections === null || elections.includes(election)) changed();
    }
  }
}
