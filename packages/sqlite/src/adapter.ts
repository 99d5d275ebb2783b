/** The store as core sees it: the directory, opened when first needed. */

import { join } from "node:path";
import {
  createBackend,
  type Adapter,
  type Backend,
  type Call,
  type CandidateRecord,
} from "@elect/core/adapter";
import type { Capabilities, LeaderRecord, Limit, OpenRequest, Session, Watch } from "@elect/core/adapter";
import { InvalidOptionError, RefusedError } from "@elect/core/adapter";
import { whenFree } from "./busy.ts";
import { leaderIn } from "./claiming.ts";
import { loadDriver, text } from "./client.ts";
import { advanceMark, databaseName, Directory, fileSystemType, type FileSystemType } from "./directory.ts";
import { explained } from "./errors.ts";
import { hostClock, type HostClock } from "./host-clock.ts";
import { OtherLife, OwnLife, type Habitat } from "./life.ts";
import { Neighbours } from "./neighbours.ts";
import { settingsOf, type Mode, type Settings, type SqliteOptions } from "./options.ts";
import { SqliteSession } from "./session.ts";
import { Store } from "./store.ts";
import { sweep } from "./sweep.ts";
import { watch } from "./watch.ts";

/** A backend for the processes of one host, in a directory of its own. Takes a URL or options; see `SqliteOptions`. */
export function sqlite(options: SqliteOptions | string): Backend {
  const adapter = new SqliteAdapter(options);
  const backend = createBackend(adapter);
  adapters.set(backend, adapter);
  return backend;
}

/** What `connect("sqlite:…")` of `@elect/core` calls. */
export function fromUrl(url: string): Backend {
  return sqlite(url);
}

const adapters = new WeakMap<Backend, SqliteAdapter>();

/** The adapter behind a backend of this package. */
export function adapterOf(backend: Backend): SqliteAdapter {
  const adapter = adapters.get(backend);
  if (adapter === undefined) {
    throw new InvalidOptionError(
      "backend",
      "backend is not one of @elect/sqlite: only its own transactions can be guarded by it.",
    );
  }
  return adapter;
}

const day = 24 * 60 * 60 * 1000;

/** Killed: the next poll finds its lock free (25 ms) and takes over in one transaction. */
const crash = { ttls: 0, plusMs: 60 } as const;

const herd: Limit = {
  promise: 11,
  sentence:
    "There is no push: a process that waits looks every 25 ms (one look for each process it waits for, however many " +
    "elections), and all that wait for the same leader claim when it goes.",
};

const stoppedInCommit: Limit = {
  promise: 10,
  sentence:
    "A process that is stopped in the middle of a commit (about a millisecond) keeps everybody from electing until it " +
    "goes on or is killed; those who lead go on leading.",
};

const stoppedLeader: Limit = {
  promise: 10,
  sentence:
    'A leader that is stopped keeps its place until it goes on or is killed; mode "lease" replaces it.',
};

const shared = { reach: "host", crash, order: "none", maxTtlMs: day } as const;

const capabilities: Readonly<Record<Mode, Capabilities>> = {
  lock: { ...shared, stopped: null, limits: [stoppedLeader, stoppedInCommit, herd] },
  lease: { ...shared, stopped: { ttls: 1, plusMs: 60 }, limits: [stoppedInCommit, herd] },
};

/** What tests put in place of the host's own. */
export interface Host {
  readonly clock: HostClock;
  readonly fileSystemType: FileSystemType;
}

interface Ready {
  readonly store: Store;
  readonly habitat: Habitat;
}

export class SqliteAdapter implements Adapter {
  readonly kind = "sqlite";
  readonly address: string;
  readonly capabilities: Capabilities;
  readonly #settings: Settings;
  readonly #host: Host;
  #ready: Ready | null = null;

  constructor(options: SqliteOptions | string, host: Host = { clock: hostClock, fileSystemType }) {
    this.#settings = settingsOf(options);
    this.#host = host;
    this.address = `sqlite:${this.#settings.directory}`;
    this.capabilities = capabilities[this.#settings.mode];
  }

  /** Where the main database is. */
  get database(): { readonly path: string; readonly address: string } {
    return { path: join(this.#settings.directory, databaseName), address: this.address };
  }

  async open({ ttlMs, nonce: id, events }: OpenRequest, call: Call): Promise<Session> {
    return this.#explain(async () => {
      const { store, habitat } = await this.#prepare(call);
      habitat.directory.makeSessions();
      sweep(store, habitat);
      const life = await whenFree(call, () => OwnLife.begin(habitat, id, ttlMs));
      try {
        await whenFree(call, () => this.#enter(store, habitat, id, ttlMs));
      } catch (error) {
        life.end();
        throw error;
      }
      const { warnings } = habitat.directory;
      const neighbours = new Neighbours(habitat);
      return new SqliteSession({
        id,
        ttlMs,
        directory: this.#settings.directory,
        store,
        life,
        neighbours,
        events,
        warnings,
      });
    });
  }

  async end(ticket: string, call: Call): Promise<void> {
    const id = sessionIn(ticket);
    return this.#explain(async () => {
      const { store, habitat } = await this.#prepare(call);
      await whenFree(call, () => store.write((sql) => sql.endSession.run(id)));
      // Those who wait look at its file; its owner, if there still is one, deletes it.
      advanceMark(habitat.directory.session(id));
    });
  }

  async read(election: string, call: Call): Promise<LeaderRecord | null> {
    return this.#look(call, (store, isAlive) =>
      store.read((sql) => {
        const row = sql.holder.get(election);
        return row !== undefined && isAlive(text(row, "session")) ? leaderIn(row) : null;
      }),
    );
  }

  async candidates(election: string, call: Call): Promise<readonly CandidateRecord[]> {
    return this.#look(call, (store, isAlive) =>
      store.read((sql) =>
        sql.candidates
          .all(election)
          .filter((row) => isAlive(text(row, "session")))
          .map((row) => ({ id: text(row, "candidate"), metadata: text(row, "metadata") })),
      ),
    );
  }

  async watch(): Promise<Watch> {
    return watch();
  }

  async close(): Promise<void> {
    this.#ready?.store.close();
    this.#ready = null;
  }

  /** The database, opened or made; opened anew when somebody has replaced it. */
  async #prepare(call: Call): Promise<Ready> {
    const driver = await loadDriver(this.address);
    return whenFree(call, () => {
      if (this.#ready !== null && !this.#ready.store.isReplaced()) return this.#ready;
      this.#ready?.store.close();
      this.#ready = null;
      const directory = Directory.prepare(this.#settings, this.#host.fileSystemType);
      const clock = this.#settings.mode === "lease" ? this.#host.clock : null;
      this.#ready = { store: Store.open(driver, directory), habitat: { driver, directory, clock } };
      return this.#ready;
    });
  }

  /** Writes the session's row, if those that live there live by the same rules. */
  #enter(store: Store, habitat: Habitat, id: string, ttlMs: number): void {
    const { mode } = this.#settings;
    const clock = habitat.clock?.id ?? "";
    store.write((sql) => {
      const others = sql.sessions.all().filter((other) => isAliveIn(habitat, text(other, "id")));
      const row = sql.store.get();
      if (row !== undefined && text(row, "mode") !== mode) {
        if (others.length > 0) throw this.#mixed(text(row, "mode"));
        sql.setMode.run(mode);
      }
      if (others.some((other) => text(other, "clock") !== clock)) throw this.#clocks();
      sql.openSession.run(id, Math.ceil(ttlMs), clock);
    });
  }

  async #look<T>(call: Call, work: (store: Store, isAlive: (id: string) => boolean) => T): Promise<T> {
    return this.#explain(async () => {
      const { store, habitat } = await this.#prepare(call);
      const known = new Map<string, boolean>();
      const isAlive = (id: string): boolean => {
        const alive = known.get(id) ?? isAliveIn(habitat, id);
        known.set(id, alive);
        return alive;
      };
      return whenFree(call, () => work(store, isAlive));
    });
  }

  async #explain<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw explained(error, this.#settings.directory);
    }
  }

  #mixed(mode: string): RefusedError {
    return new RefusedError(
      "mode",
      `${this.address}: the candidates that live here use mode "${mode}", and this one was given "${this.#settings.mode}". ` +
        "Give all of them the same; to change it, stop all of them first.",
    );
  }

  #clocks(): RefusedError {
    return new RefusedError(
      "clock",
      `${this.address}: candidates live here whose clock is not ours (a container with a time namespace of its own, or ` +
        'another kernel), and leases cannot be compared. Use mode "lock", or one time namespace for all.',
    );
  }
}

function isAliveIn(habitat: Habitat, id: string): boolean {
  const life = new OtherLife(habitat, id);
  try {
    return life.condition() === "alive";
  } finally {
    life.close();
  }
}

function sessionIn(ticket: string): string {
  const { version, session } = parse(ticket);
  if (version === 1 && typeof session === "string" && /^[0-9a-f]+$/.test(session)) return session;
  throw new InvalidOptionError(
    "ticket",
    "the ticket is not one of @elect/sqlite: hand over what `session.ticket` was.",
  );
}

function parse(ticket: string): { version?: unknown; session?: unknown } {
  try {
    const value: unknown = JSON.parse(ticket);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
