/**
 * The port on Redis. A session is a key with a lease; an election's record names a session and counts only while
 * that key exists; each step below is one script (scripts.ts), so no two clients ever see half of one.
 */

import {
  InvalidOptionError,
  type Adapter,
  type Call,
  type CandidateRecord,
  type Capabilities,
  type LeaderRecord,
  type OpenRequest,
  type Session,
  type Watch,
} from "@elect/core/adapter";
import { Link } from "./client.ts";
import { resolveOptions, type RedisOptions, type Settings } from "./options.ts";
import * as scripts from "./scripts.ts";
import { leaderFrom, texts } from "./replies.ts";
import { RedisSession } from "./session.ts";
import { Subscription, type Listener } from "./watch.ts";

/** A leader's death is not pushed; it is found by reading. */
const watchPollMs = 1000;

export class RedisAdapter implements Adapter {
  readonly kind = "redis";
  readonly address: string;
  readonly capabilities: Capabilities;
  readonly #settings: Settings;
  readonly #link: Link;
  readonly #subscription: Subscription;

  constructor(options: RedisOptions | string) {
    this.#settings = resolveOptions(options);
    this.address = this.#settings.address;
    this.capabilities = capabilitiesOf(this.#settings);
    this.#link = new Link(this.#settings, { inspect: false, lost: () => {} });
    this.#subscription = new Subscription(this.#settings);
  }

  async open(request: OpenRequest, call: Call): Promise<Session> {
    if (request.ttlMs > this.#settings.maxTtlMs) {
      throw new InvalidOptionError(
        "ttl",
        `The ttl of ${request.ttlMs} ms exceeds maxTtl (${this.#settings.maxTtlMs} ms) of ${this.address}. Raise maxTtl in all processes, or ask for less.`,
      );
    }
    const session = new RedisSession(this.#settings, this.#subscription, request);
    await session.open(call);
    return session;
  }

  async end(ticket: string, call: Call): Promise<void> {
    const { records, session } = ticketFrom(ticket);
    await this.#link.script(scripts.end, [records, `${records}:s:${session}`], () => [session], call);
  }

  async read(election: string, call: Call): Promise<LeaderRecord | null> {
    this.#subscription.mend(call.timeoutMs);
    const { reply } = await this.#link.script(scripts.read, [this.#settings.records], () => [election], call);
    const [token, candidate] = texts(reply);
    return token === undefined || candidate === undefined ? null : leaderFrom(token, candidate);
  }

  async candidates(election: string, call: Call): Promise<readonly CandidateRecord[]> {
    const { reply } = await this.#link.script(
      scripts.candidates,
      [this.#settings.records],
      () => [election],
      call,
    );
    return texts(reply).map((candidate) => {
      const { id, metadata } = leaderFrom("0", candidate);
      return { id, metadata };
    });
  }

  async watch(election: string, changed: () => void, call: Call): Promise<Watch> {
    const channel = `${this.#settings.records}:e:${election}`;
    const listener: Listener = { message: changed, gap: changed };
    await this.#subscription.listen(channel, listener, call);
    return { pollMs: watchPollMs, close: () => this.#subscription.unlisten(channel, listener) };
  }

  async close(): Promise<void> {
    this.#subscription.close();
    this.#link.close();
  }
}

function capabilitiesOf(settings: Settings): Capabilities {
  return {
    reach: "network",
    crash: { ttls: 1, plusMs: 300 },
    stopped: { ttls: 1, plusMs: 300 },
    order: "none",
    maxTtlMs: settings.maxTtlMs,
    limits: [
      {
        promise: 1,
        sentence:
          "A fail-over to a replica may lose acknowledged writes; nobody new is elected for maxTtl after one, but a " +
          "former master that still serves its side can keep a second leader valid unless option wait names all replicas.",
      },
      {
        promise: 1,
        sentence:
          "Leases run on the server's wall clock: when it is set forward by more than what is left of a lease, a " +
          "successor may be elected while the former leader is valid until its next proof.",
      },
      {
        promise: 4,
        sentence:
          "A token can repeat if the server loses its memory and its clock is set back as well; core refuses such a token where it has seen a higher one.",
      },
      {
        promise: 10,
        sentence:
          "A server that may have forgotten acknowledged writes (new, restarted without appendfsync always, or promoted) elects nobody new for maxTtl.",
      },
    ],
  };
}

function ticketFrom(ticket: string): { records: string; session: string } {
  let value: unknown;
  try {
    value = JSON.parse(ticket);
  } catch {
    value = null;
  }
  const { records, session } = (value ?? {}) as { records?: unknown; session?: unknown };
  if (typeof records !== "string" || typeof session !== "string") {
    throw new InvalidOptionError("ticket", "This is not the ticket of a session on Redis.");
  }
  return { records, session };
}
