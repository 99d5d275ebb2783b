/**
 * The connection that carries a session's life lock, through all its reconnects.
 *
 * The session is its row; the row names the key of an advisory lock that this connection holds. A connection that is lost frees
 * the lock and ends nothing: the next call connects again, takes a lock on a *new* key and writes that into the row,
 * unless the row was declared dead. A key is never used twice, so a lock that was seen free stays free.
 *
 * With `takeover: "connection"` the connection is the session: whoever notices first that it is gone may say so. Where we are
 * the first, because a call's time was up and its connection had to be destroyed, we say so before the server can know.
 */

import { randomBytes } from "node:crypto";

import type { Call } from "@elect/core/adapter";

import { sessionChannel } from "./channels.ts";
import { unlessAborted, type Link, type Plan } from "./client.ts";
import type { Row, Value } from "./driver.ts";
import { refusalIn } from "./errors.ts";
import type { Settings } from "./options.ts";
import { sweep } from "./remains.ts";
import { ensureTables } from "./schema.ts";
import { connect, type Server } from "./server.ts";
import type { Batched } from "./sql-elections.ts";
import type { Sql } from "./sql.ts";

/** The session is dead, and no later call can change that. */
export class SessionOver extends Error {
  constructor(reason = "the store has declared the session dead, or somebody deleted it") {
    super(reason);
    this.name = "SessionOver";
  }
}

const connectionGone = 'its connection is gone, which ends it with takeover: "connection"';

export interface LifeEvents {
  /** Something was said on the session's channel. */
  told(message: string): void;
  /** Whatever was said in between was not heard. */
  resumed(): void;
  /** The connection is gone and the session may go on. */
  shaken(cause: unknown): void;
  /** The connection is gone and the session with it. */
  over(reason: string): void;
}

interface Connection {
  readonly link: Link;
  readonly server: Server;
  readonly key: string;
}

export class Life {
  readonly id: string;
  readonly #settings: Settings;
  readonly #sql: Sql;
  readonly #ttlMs: number;
  readonly #events: LifeEvents;
  #current: Connection | null = null;
  #connecting: Promise<Connection> | null = null;
  #ended = false;

  constructor(id: string, settings: Settings, sql: Sql, ttlMs: number, events: LifeEvents) {
    this.id = id;
    this.#settings = settings;
    this.#sql = sql;
    this.#ttlMs = ttlMs;
    this.#events = events;
  }

  /** Creates the session's row: last, so that who gives up before leaves nothing. */
  async begin(call: Call): Promise<Server> {
    const { takeover } = this.#settings;
    const { server } = await this.#connect(call, async (link, key) => {
      await ensureTables(link, this.#settings, call);
      await sweep(async (text, values) => link.query(text, values, call.signal), this.#sql);
      return link.query(this.#sql.openSession, [this.id, key, this.#ttlMs, takeover], call.signal);
    });
    // Most leaders resign once. Then a successor waits, and to make this plan takes longer than all the rest of the hand-over.
    await this.run(this.#sql.release.few, [this.id, [], [], false], call, "kept");
    return server;
  }

  /** Runs one statement on the connection that carries the life lock, connecting first if it has to. */
  async run(
    text: string,
    values: readonly Value[],
    call: Call,
    plan: Plan | null = null,
  ): Promise<readonly Row[]> {
    return this.#on(call, (link) => link.query(text, values, call.signal, plan));
  }

  /** Runs a statement about `count` elections, in the form that suits their number. */
  async runFor(
    count: number,
    batched: Batched,
    values: readonly Value[],
    call: Call,
  ): Promise<readonly Row[]> {
    const [text, plan] = formFor(count, batched);
    return this.run(text, values, call, plan);
  }

  /** The same in parts, of about `count` elections each: see {@link Link.series}. */
  async runInParts(
    count: number,
    batched: Batched,
    parts: readonly (readonly Value[])[],
    call: Call,
    hear: (rows: readonly Row[], nth: number) => void,
  ): Promise<void> {
    const [text, plan] = formFor(count, batched);
    await this.#on(call, (link) => link.series(text, parts, call.signal, plan, hear));
  }

  /** The key of the life lock that the current connection carries. */
  get key(): string | null {
    return this.#current?.key ?? null;
  }

  async end(call: Call): Promise<void> {
    this.#ended = true;
    await this.#current?.link.end(call);
  }

  abandon(): void {
    this.#ended = true;
    this.#current?.link.destroy(new Error("the session was abandoned"));
  }

  async #on<T>(call: Call, work: (link: Link) => Promise<T>): Promise<T> {
    const { link } = await this.#connection(call);
    try {
      return await work(link);
    } catch (error) {
      throw refusalIn(error, this.#settings.address);
    }
  }

  async #connection(call: Call): Promise<Connection> {
    if (this.#ended) throw new Error("The session is over.");
    if (this.#current?.link.open === true) return this.#current;
    if (this.#settings.takeover === "connection") throw new SessionOver(connectionGone);
    this.#connecting ??= this.#resume(call).finally(() => (this.#connecting = null));
    return unlessAborted(this.#connecting, call.signal);
  }

  async #resume(call: Call): Promise<Connection> {
    const connection = await this.#connect(call, async (link, key) =>
      link.query(this.#sql.resumeSession, [this.id, key], call.signal),
    );
    this.#events.resumed();
    return connection;
  }

  async #connect(
    call: Call,
    enter: (link: Link, key: string) => Promise<readonly Row[]>,
  ): Promise<Connection> {
    const settings = this.#settings;
    let entered: Connection | null = null;
    const { link, server } = await connect(settings, { kind: "life", ttlMs: this.#ttlMs }, call, {
      notified: (_, message) => this.#events.told(message),
      lost: (cause, who) => {
        if (entered === null || this.#current !== entered || this.#ended) return;
        if (settings.takeover === "connection") this.#events.over(connectionGone);
        // Where it was our own call's time that was up, core knows.
        else if (who === "they") this.#events.shaken(cause);
      },
    });
    try {
      const key = randomBytes(8).readBigInt64BE().toString();
      await link.query(`listen "${sessionChannel(this.id)}"`, [], call.signal);
      const rows = await enter(link, key);
      if (rows.length === 0) throw new SessionOver();
      if (this.#ended) throw new Error("The session is over.");
      entered = { link, server, key };
      this.#current = entered;
      return entered;
    } catch (error) {
      link.destroy(error);
      throw refusalIn(error, settings.address);
    }
  }
}

function formFor(count: number, { few, many }: Batched): [string, Plan] {
  return count <= 10 ? [few, "kept"] : [many, "made"];
}
