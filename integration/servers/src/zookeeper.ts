import { zookeeperAnswers } from "./answers.ts";
import { urlFromEnvironment } from "./engine.ts";
import { createPeerNetwork, type PeerNetwork } from "./peer-network.ts";
import { freePorts } from "./ports.ts";
import { ForeignServer, type Server } from "./server.ts";
import { startAll, startServer } from "./start.ts";

export interface ZookeeperOptions {
  /** The server's unit of time in ms. Sessions time out after two of them at the earliest. @default 500 */
  readonly tickTime?: number;
  /** How many ticks a follower may lag behind. @default 10 */
  readonly syncLimit?: number;
  /** Whether transactions reach the disk. A killed server loses nothing either way. @default false */
  readonly durable?: boolean;
  /** More lines of its configuration, such as `["maxSessionTimeout=20000"]`. */
  readonly configuration?: readonly string[];
}

export async function startZookeeper(options: ZookeeperOptions = {}): Promise<Server> {
  const given = urlFromEnvironment("zookeeper");
  if (given !== undefined) return new ForeignServer("zookeeper", given);
  const [port = 0] = await freePorts(1);
  return startServer({
    kind: "zookeeper",
    command: serveCommand,
    environment: zookeeperEnvironment(options),
    listens: 2181,
    port,
    url: `zookeeper://127.0.0.1:${port}`,
    answers: zookeeperAnswers,
  });
}

export interface ZookeeperEnsemble extends AsyncDisposable {
  /** All servers in one URL. */
  readonly url: string;
  readonly servers: readonly Server[];
  readonly peers: PeerNetwork;
  stop(): Promise<void>;
}

export async function startZookeeperEnsemble(options: ZookeeperOptions = {}): Promise<ZookeeperEnsemble> {
  await using parts = new AsyncDisposableStack();
  const peers = parts.use(await createPeerNetwork("zookeeper"));
  const ports = await freePorts(3);
  const list = ports.map((_, index) => `server.${index + 1}=zookeeper-${index + 1}:2888:3888;2181`).join(" ");
  const servers = await startAll(
    parts,
    ports.map(async (port, index) =>
      startServer({
        kind: "zookeeper",
        command: serveCommand,
        environment: {
          ...zookeeperEnvironment(options),
          ZOO_MY_ID: `${index + 1}`,
          ZOO_SERVERS: list,
        },
        listens: 2181,
        port,
        peers: { network: peers, name: `zookeeper-${index + 1}` },
        url: `zookeeper://127.0.0.1:${port}`,
        answers: zookeeperAnswers,
      }),
    ),
  );
  const kept = parts.move();
  return {
    url: `zookeeper://${ports.map((port) => `127.0.0.1:${port}`).join(",")}`,
    servers,
    peers,
    stop: async () => kept.disposeAsync(),
    [Symbol.asyncDispose]: async () => kept.disposeAsync(),
  };
}

const serveCommand = ["zkServer.sh", "start-foreground"];

function zookeeperEnvironment(options: ZookeeperOptions): Record<string, string> {
  const { tickTime = 500, syncLimit = 10, durable = false, configuration = [] } = options;
  return {
    ZOO_TICK_TIME: `${tickTime}`,
    ZOO_SYNC_LIMIT: `${syncLimit}`,
    ZOO_INIT_LIMIT: "20",
    ZOO_MAX_CLIENT_CNXNS: "0",
    ZOO_ADMINSERVER_ENABLED: "false",
    ZOO_4LW_COMMANDS_WHITELIST: "*",
    // A server whose address has changed while it was cut off must still hear its peers.
    ZOO_CFG_EXTRA: ["quorumListenOnAllIPs=true", "maxSessionTimeout=60000", ...configuration].join(" "),
    // Made to start soon and stay small. Three of them elect each other in the time that the compiler would take.
    JVMFLAGS: `-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1${durable ? "" : " -Dzookeeper.forceSync=no"}`,
  };
}
