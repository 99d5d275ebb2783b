// A primary, a replica and three Sentinels. Sentinel tells its clients the address that it reaches the primary at
// itself, so that address must be right on both sides: all five live in one network namespace, where they listen on
// the same ports of the loopback interface that they have on the host.
import { redisAnswers } from "./answers.ts";
import { startNamespace } from "./namespace.ts";
import { freePorts } from "./ports.ts";
import { redisCommand, type RedisKind } from "./redis.ts";
import { untilReplied } from "./resp.ts";
import type { Server } from "./server.ts";
import { startAll, startServer } from "./start.ts";

export interface SentinelOptions {
  /** @default "redis" */
  readonly kind?: RedisKind;
  /** How long the primary may be silent before a Sentinel holds it for down, in ms. @default 1000 */
  readonly downAfter?: number;
}

export interface RedisSentinel extends AsyncDisposable {
  /** The name that the Sentinels know the primary by. */
  readonly name: string;
  /** Where the Sentinels are, as ioredis takes them. */
  readonly sentinels: readonly { readonly host: string; readonly port: number }[];
  /** The one that began as primary; after a fail-over it is the other. */
  readonly primary: Server;
  readonly replica: Server;
  readonly sentinelServers: readonly Server[];
  stop(): Promise<void>;
}

export async function startRedisSentinel(options: SentinelOptions = {}): Promise<RedisSentinel> {
  const { kind = "redis", downAfter = 1000 } = options;
  await using parts = new AsyncDisposableStack();
  const ports = await freePorts(5);
  const [primaryPort = 0, replicaPort = 0, ...sentinelPorts] = ports;
  const inside = parts.use(await startNamespace(kind, ports)).id;

  const node = async (port: number, ...role: string[]) =>
    startServer({
      kind,
      command: redisCommand(kind, {
        args: [
          "--port",
          `${port}`,
          "--replica-announce-ip",
          "127.0.0.1",
          "--repl-diskless-sync-delay",
          "0",
          ...role,
        ],
      }),
      listens: port,
      port,
      inside,
      url: `redis://127.0.0.1:${port}`,
      answers: redisAnswers,
    });
  const sentinel = async (port: number) =>
    startServer({
      kind,
      // It writes what it learns into its configuration file: kept when it is restarted. The official image would start
      // a Sentinel as a user who cannot write the file; started through a shell it stays root.
      command: [
        "sh",
        "-c",
        `test -e /tmp/sentinel.conf || printf %s "$SENTINEL" > /tmp/sentinel.conf; exec ${kind}-server /tmp/sentinel.conf --sentinel`,
      ],
      environment: { SENTINEL: sentinelConfiguration(port, primaryPort, downAfter) },
      listens: port,
      port,
      inside,
      url: `redis://127.0.0.1:${port}`,
      answers: redisAnswers,
    });

  const [primary, replica] = await startAll(parts, [
    node(primaryPort),
    node(replicaPort, "--replicaof", "127.0.0.1", `${primaryPort}`),
  ]);
  // Sentinels ask a primary for its replicas when they begin, and then only every ten seconds.
  await untilReplied(primaryPort, "INFO replication", (reply) => reply.includes("state=online"));
  const sentinelServers = await startAll(parts, sentinelPorts.map(sentinel));
  await untilAllKnown(sentinelServers);
  const kept = parts.move();
  return {
    name: primaryName,
    sentinels: sentinelPorts.map((port) => ({ host: "127.0.0.1", port })),
    primary: primary!,
    replica: replica!,
    sentinelServers,
    stop: async () => kept.disposeAsync(),
    [Symbol.asyncDispose]: async () => kept.disposeAsync(),
  };
}

const primaryName = "elect";
const quorum = 2;

function sentinelConfiguration(port: number, primaryPort: number, downAfter: number): string {
  return [
    `port ${port}`,
    "protected-mode no",
    "dir /tmp",
    "sentinel announce-ip 127.0.0.1",
    `sentinel monitor ${primaryName} 127.0.0.1 ${primaryPort} ${quorum}`,
    `sentinel down-after-milliseconds ${primaryName} ${downAfter}`,
    `sentinel failover-timeout ${primaryName} 5000`,
    "",
  ].join("\n");
}

/** A fail-over needs Sentinels that have found each other and the replica. They ask around every few seconds. */
async function untilAllKnown(sentinels: readonly Server[]): Promise<void> {
  const others = sentinels.length - 1;
  await Promise.all(
    sentinels.map(async ({ port }) =>
      untilReplied(
        port,
        `SENTINEL MASTER ${primaryName}`,
        (reply) =>
          reply.includes(`num-slaves\r\n$1\r\n1\r\n`) &&
          reply.includes(`num-other-sentinels\r\n$1\r\n${others}\r\n`),
      ),
    ),
  );
}
