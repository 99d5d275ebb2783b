/** PostgreSQL as a store for elections. What decides is in sql.ts; what can go wrong with a connection, in client.ts. */

import {
  createBackend,
  type Adapter,
  type Backend,
  type Call,
  type CandidateRecord,
  type Capabilities,
  type LeaderRecord,
  type Limit,
  type OpenRequest,
  type Session,
  type Watch,
} from "@elect/core/adapter";

import type { Row, Value } from "./driver.ts";
import { isMissing } from "./errors.ts";
import { settle, type PostgresOptions, type Settings, type Takeover } from "./options.ts";
import { endSession } from "./remains.ts";
import { PostgresSession } from "./session.ts";
import { sqlFor, type Sql } from "./sql.ts";
import { Lookout } from "./watch.ts";

/** A backend on PostgreSQL. Connects only when an election needs it, on connections of its own. */
export function postgres(options: PostgresOptions | string): Backend {
  return createBackend(new PostgresAdapter(options));
}

/** For `connect(url)` of `@elect/core`. */
export function fromUrl(url: string): Backend {
  return postgres(url);
}

const failOver: Limit = {
  promise: 1,
  sentence:
    "With asynchronous replication, a fail-over can elect a new leader while the old server still answers the old one; " +
    "tokens of the new server are greater.",
};
const droppedConnection: readonly Limit[] = [
  {
    promise: 1,
    sentence:
      'With takeover: "connection", a leader whose connection the server has dropped is replaced at once, and may believe ' +
      "in its term until it notices or the term's deadline passes.",
  },
  { promise: 8, sentence: 'With takeover: "connection", a lost connection costs the leadership.' },
];

/** How long the two ways to die take, and what is not promised. */
function capabilitiesOf(takeover: Takeover): Capabilities {
  const byConnection = takeover === "connection";
  return {
    reach: "network",
    crash: byConnection ? { ttls: 0, plusMs: 300 } : { ttls: 1, plusMs: 300 },
    stopped: { ttls: 1, plusMs: 400 },
    order: "none",
    maxTtlMs: 24 * 60 * 60 * 1000,
    limits: byConnection ? [failOver, ...droppedConnection] : [failOver],
  };
}

export class PostgresAdapter implements Adapter {
  readonly kind = "postgres";
  readonly address: string;
  readonly capabilities: Capabilities;
  readonly #settings: Settings;
  readonly #sql: Sql;
  readonly #lookout: Lookout;

  constructor(options: PostgresOptions | string) {
    this.#settings = settle(options);
    this.address = this.#settings.address;
    this.capabilities = capabilitiesOf(this.#settings.takeover);
    this.#sql = sqlFor(this.#settings.schema);
    this.#lookout = new Lookout(this.#settings);
  }

  async open(request: OpenRequest, call: Call): Promise<Session> {
    return PostgresSession.open(this.#settings, this.#sql, request, call);
  }

  async end(ticket: string, call: Call): Promise<void> {
    try {
      await endSession(async (text, values) => this.#lookout.run(text, values, call), this.#sql, ticket);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  async read(election: string, call: Call): Promise<LeaderRecord | null> {
    const [{ candidate, metadata, token } = {}] = await this.#look(this.#sql.leader, [election], call);
    if (typeof candidate !== "string" || typeof metadata !== "string" || typeof token !== "string")
      return null;
    return { id: candidate, metadata, token: BigInt(token) };
  }

  async candidates(election: string, call: Call): Promise<readonly CandidateRecord[]> {
    const rows = await this.#look(this.#sql.candidates, [election], call);
    return rows.map(({ candidate, metadata }) => ({ id: candidate ?? "", metadata: metadata ?? "" }));
  }

  async watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    return this.#lookout.watch(election, changed, call);
  }

  async close(call: Call): Promise<void> {
    await this.#lookout.close(call);
  }

  /** Where nobody has ever been a candidate, there are no tables. */
  async #look(text: string, values: readonly Value[], call: Call): Promise<readonly Row[]> {
    try {
      return await this.#lookout.run(text, values, call);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }
}
