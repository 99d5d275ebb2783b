import { etcdAnswers } from "./answers.ts";
import { urlFromEnvironment } from "./engine.ts";
import { createPeerNetwork, type PeerNetwork } from "./peer-network.ts";
import { freePorts } from "./ports.ts";
import { ForeignServer, type Server } from "./server.ts";
import { startAll, startServer } from "./start.ts";

export interface EtcdOptions {
  /** Whether writes reach the disk. A killed member loses nothing either way; a machine without power would. @default false */
  readonly durable?: boolean;
  /** More of the server's own arguments. */
  readonly args?: readonly string[];
}

export async function startEtcd(options: EtcdOptions = {}): Promise<Server> {
  const given = urlFromEnvironment("etcd");
  if (given !== undefined) return new ForeignServer("etcd", given);
  const [port = 0] = await freePorts(1);
  return startServer({
    kind: "etcd",
    command: etcdCommand(port, options),
    listens: 2379,
    port,
    url: `etcd://127.0.0.1:${port}`,
    answers: etcdAnswers,
  });
}

export interface EtcdCluster extends AsyncDisposable {
  /** All members in one URL. */
  readonly url: string;
  readonly members: readonly Server[];
  readonly peers: PeerNetwork;
  stop(): Promise<void>;
}

export async function startEtcdCluster(options: EtcdOptions = {}): Promise<EtcdCluster> {
  await using parts = new AsyncDisposableStack();
  const peers = parts.use(await createPeerNetwork("etcd"));
  const ports = await freePorts(3);
  const names = ports.map((_, index) => `etcd-${index + 1}`);
  const initial = names.map((name) => `${name}=http://${name}:2380`).join(",");
  const members = await startAll(
    parts,
    ports.map(async (port, index) => {
      const name = names[index]!;
      return startServer({
        kind: "etcd",
        command: etcdCommand(port, {
          ...options,
          args: [
            ...[`--name=${name}`, `--initial-cluster=${initial}`, `--initial-cluster-token=${peers.name}`],
            ...[
              "--listen-peer-urls=http://0.0.0.0:2380",
              `--initial-advertise-peer-urls=http://${name}:2380`,
            ],
            ...(options.args ?? []),
          ],
        }),
        listens: 2379,
        port,
        peers: { network: peers, name },
        url: `etcd://127.0.0.1:${port}`,
        answers: etcdAnswers,
      });
    }),
  );
  const kept = parts.move();
  return {
    url: `etcd://${ports.map((port) => `127.0.0.1:${port}`).join(",")}`,
    members,
    peers,
    stop: async () => kept.disposeAsync(),
    [Symbol.asyncDispose]: async () => kept.disposeAsync(),
  };
}

function etcdCommand(port: number, { durable = false, args = [] }: EtcdOptions): string[] {
  return [
    "etcd",
    "--data-dir=/var/lib/etcd/elect",
    "--listen-client-urls=http://0.0.0.0:2379",
    `--advertise-client-urls=http://127.0.0.1:${port}`,
    "--log-level=warn",
    ...(durable ? [] : ["--unsafe-no-fsync"]),
    ...args,
  ];
}
