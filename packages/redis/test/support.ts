/** What the tests of this package share: a server, a namespace of their own, calls, and a second pair of eyes. */

import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import type { Claim, ClaimAnswer, ClaimRequest, Session } from "@elect/core/adapter";
import { openFaultProxy, type FaultProxy } from "@elect/testing";
import { Redis } from "ioredis";
import { beforeEach, onTestFinished } from "vitest";
import { startRedis, type Server } from "../../../integration/servers/src/index.ts";
import { freePorts } from "../../../integration/servers/src/ports.ts";
import { redisAnswers } from "../../../integration/servers/src/answers.ts";
import {
  redisCommand,
  type RedisKind,
  type RedisOptions as ServerOptions,
} from "../../../integration/servers/src/redis.ts";
import { startServer, type Recipe } from "../../../integration/servers/src/start.ts";
import { RedisAdapter } from "../src/adapter.ts";
import type { Durability, RedisOptions } from "../src/options.ts";
import { call, eventually, Heard, nonce } from "../../../integration/servers/src/port-calls.ts";

export { call, eventually, Heard, nonce };

/** Long, so that a session that nobody proves outlives its test on a slow machine, too; shorter where a lease is to run out. */
const ttl = 8000;
export const maxTtl = 10_000;

/** The server that all tests of a file share; nobody stops it but the run's end. */
export async function sharedServer(): Promise<Server> {
  return startRedis();
}

/** A namespace on a server that other tests use, too. */
export class SharedStore {
  readonly server: Server;
  name: string = namespace();

  constructor(server: Server) {
    this.server = server;
  }

  get url(): string {
    return this.on(this.server);
  }

  /** The key of the records. */
  get records(): string {
    return `elect:{${this.name}}`;
  }

  /** The same name on another server. */
  on({ url }: { readonly url: string }, durability: Durability = "assumed"): string {
    return `${url}?namespace=${this.name}&maxTtl=${maxTtl}&durability=${durability}`;
  }

  /** The same server, by way of a proxy. */
  through(port: number): string {
    return this.url.replace(`:${this.server.port}`, `:${port}`);
  }

  /** The key of a session. */
  keyOf({ session }: Candidate): string {
    return `${this.records}:s:${session.id}`;
  }
}

/** The shared server, with a new namespace for each test of the file. */
export async function sharedStore(): Promise<SharedStore> {
  const at = new SharedStore(await sharedServer());
  beforeEach(() => void (at.name = namespace()));
  return at;
}

/** A server that may be killed, restarted and paused, whatever the environment points to. */
export async function ownServer({
  kind = "redis",
  ...options
}: ServerOptions & Pick<Recipe, "environment" | "peers"> & { kind?: RedisKind } = {}): Promise<Server> {
  const [port = 0] = await freePorts(1);
  const server = await startServer({
    kind,
    ...options,
    command: redisCommand(kind, options),
    listens: 6379,
    port,
    url: `redis://127.0.0.1:${port}`,
    answers: redisAnswers,
  });
  onTestFinished(() => server.stop());
  return server;
}

export const namespace = (): string => `test-${randomBytes(6).toString("hex")}`;

export async function proxyTo(port: number): Promise<FaultProxy> {
  const proxy = await openFaultProxy({ host: "127.0.0.1", port });
  onTestFinished(() => proxy.close());
  return proxy;
}

/** Everything that an ACL user of elections needs, as in the README. */
export const privileges = (namespace: string): string[] => [
  "resetkeys",
  "resetchannels",
  "-@all",
  `~elect:{${namespace}}*`,
  `&elect:{${namespace}}:*`,
  ..."+hello +info +config|get +evalsha +eval +subscribe +unsubscribe +publish +time".split(" "),
  ..."+exists +del +pexpire +pttl +hget +hset +hmget +hdel +hlen +hexists +hgetall +hincrby +hscan +zadd +zrem +zrange".split(
    " ",
  ),
];

/** The plain driver, to look and to meddle. */
export function plain(port: number, options: object = {}): Redis {
  const client = new Redis({ port, host: "127.0.0.1", ...options });
  client.on("error", () => {});
  onTestFinished(() => client.disconnect());
  return client;
}

export interface Candidate {
  readonly adapter: RedisAdapter;
  readonly session: Session;
  readonly heard: Heard;
  bid(election: string, id?: string): ClaimRequest;
  claim(...requests: ClaimRequest[]): Promise<ClaimAnswer>;
  prove(...held: Claim[]): ReturnType<Session["prove"]>;
}

/** A process of its own: an adapter, and one open session. */
export async function candidate(
  options: RedisOptions | string,
  as: { ttl?: number; id?: string } = {},
): Promise<Candidate> {
  const adapter = new RedisAdapter(options);
  const heard = new Heard();
  onTestFinished(() => adapter.close());
  const session = await adapter.open(
    { ttlMs: as.ttl ?? ttl, nonce: as.id ?? nonce(), events: heard },
    call(),
  );
  onTestFinished(() => session.abandon());
  return {
    adapter,
    session,
    heard,
    bid: (election, id = "someone") => ({
      election,
      nonce: nonce(),
      candidate: { id, metadata: JSON.stringify({ of: id }) },
      unchanged: null,
    }),
    claim: async (...requests) => (await session.claim(requests, call()))[0]!,
    prove: async (...held) => session.prove(new Map(held.map((claim) => [claim.nonce, claim])), call()),
  };
}

export function tokenOf(answer: ClaimAnswer | undefined): bigint {
  if (answer?.kind !== "granted")
    throw new Error(
      `not granted: ${JSON.stringify(answer, (_, value: unknown) => (typeof value === "bigint" ? `${value}` : value))}`,
    );
  return answer.token;
}

export async function pass(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Arms a look at all that the server executes, on any connection; the promise inside resolves with the first command
 * that matches, in words. On a plain socket: the driver takes what another client sends, when it comes in one chunk
 * with MONITOR's OK, for a reply.
 */
export async function monitored(
  port: number,
  matches: (command: string) => boolean,
): Promise<{ seen: Promise<void> }> {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  const [armed, seen] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  // +OK, then for each command: +1795467808.226365 [0 127.0.0.1:48538] "HGET" "key" "field"
  createInterface(socket).on("line", (line) => {
    if (line === "+OK") armed.resolve();
    else if (matches(line.replace(/^.*?\] /, "").replaceAll('"', ""))) seen.resolve();
  });
  socket.on("error", armed.reject);
  socket.write("MONITOR\r\n");
  await armed.promise;
  return { seen: seen.promise };
}
