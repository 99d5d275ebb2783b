// Three primaries that share the hash slots. They gossip by their addresses on the peer network; clients are told the
// loopback interface of the host, where each node has the very port that it listens on.
import { redisAnswers } from "./answers.ts";
import { createPeerNetwork, type PeerNetwork } from "./peer-network.ts";
import { freePorts } from "./ports.ts";
import { redisCommand, type RedisKind } from "./redis.ts";
import { command, untilReplied } from "./resp.ts";
import type { Server } from "./server.ts";
import { startAll, startServer } from "./start.ts";

export interface ClusterOptions {
  /** @default "redis" */
  readonly kind?: RedisKind;
  /** After how many ms of silence a node is held for down. @default 2000 */
  readonly nodeTimeout?: number;
}

export interface RedisCluster extends AsyncDisposable {
  /** Where the nodes are, as ioredis takes them. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly servers: readonly Server[];
  readonly peers: PeerNetwork;
  stop(): Promise<void>;
}

export async function startRedisCluster(options: ClusterOptions = {}): Promise<RedisCluster> {
  const { kind = "redis", nodeTimeout = 2000 } = options;
  await using parts = new AsyncDisposableStack();
  const peers = parts.use(await createPeerNetwork("redis"));
  const ports = await freePorts(3);
  const servers = await startAll(
    parts,
    ports.map(async (port, index) =>
      startServer({
        kind,
        command: redisCommand(kind, {
          args: [
            ...["--port", `${port}`, "--cluster-enabled", "yes", "--cluster-node-timeout", `${nodeTimeout}`],
            // As a "hostname", for the announced address would also be the one that the peers use.
            ...["--cluster-announce-hostname", "127.0.0.1", "--cluster-preferred-endpoint-type", "hostname"],
          ],
        }),
        listens: port,
        port,
        peers: { network: peers, name: `node-${index + 1}` },
        url: `redis://127.0.0.1:${port}`,
        answers: redisAnswers,
      }),
    ),
  );
  await join(servers, peers);
  const kept = parts.move();
  return {
    nodes: ports.map((port) => ({ host: "127.0.0.1", port })),
    servers,
    peers,
    stop: async () => kept.disposeAsync(),
    [Symbol.asyncDispose]: async () => kept.disposeAsync(),
  };
}

const slots = 16_384;

/** What `redis-cli --cluster create` does, without its pauses. */
async function join(nodes: readonly Server[], peers: PeerNetwork): Promise<void> {
  const [first] = nodes;
  for (const [index, { port, container }] of nodes.entries()) {
    const from = Math.ceil((index * slots) / nodes.length);
    const to = Math.ceil(((index + 1) * slots) / nodes.length) - 1;
    await command(port, `CLUSTER ADDSLOTSRANGE ${from} ${to}`);
    await command(port, `CLUSTER SET-CONFIG-EPOCH ${index + 1}`);
    if (index > 0) await command(first!.port, `CLUSTER MEET ${container.getIpAddress(peers.name)} ${port}`);
  }
  await Promise.all(
    nodes.map(async ({ port }) =>
      untilReplied(
        port,
        "CLUSTER INFO",
        (info) => info.includes("cluster_state:ok") && info.includes(`cluster_size:${nodes.length}`),
      ),
    ),
  );
}
