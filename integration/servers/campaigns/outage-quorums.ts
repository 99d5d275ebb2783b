// What can happen to three servers of which two must agree: the leader among them is lost, or so many that none is left.
import { startEtcdCluster, startZookeeperEnsemble, type PeerNetwork, type Server } from "../src/index.ts";
import { ask } from "../src/answers.ts";
import { until } from "./patience.ts";
import { times, type Outage, type Site } from "./outage-sites.ts";

export async function etcdCluster(): Promise<Site> {
  const cluster = await startEtcdCluster();
  const statusOf = async ({ port }: Server): Promise<{ id: string; leader: string }> => {
    const response = await fetch(`http://127.0.0.1:${port}/v3/maintenance/status`, {
      method: "POST",
      body: "{}",
      signal: AbortSignal.timeout(1_000),
    });
    const status = (await response.json()) as { leader: string; header: { member_id: string } };
    return { id: status.header.member_id, leader: status.leader };
  };
  return quorumSite({
    name: "etcd, three members",
    ...cluster,
    servers: cluster.members,
    leader: async () => {
      const seen = await Promise.all(cluster.members.map(statusOf));
      return new Set(seen.map(({ leader }) => leader)).size === 1
        ? cluster.members[seen.findIndex(({ id, leader }) => id === leader)]
        : undefined;
    },
    // A new leader of etcd renews all leases in full, and its election takes up to two seconds.
    quietMs: 2_000 + 2_000,
  });
}

export async function zookeeperEnsemble(): Promise<Site> {
  const [tickTime, syncLimit] = [500, 4];
  const ensemble = await startZookeeperEnsemble({ tickTime, syncLimit });
  const modeOf = async ({ port }: Server): Promise<string | undefined> =>
    /Mode: (\w+)/.exec(await ask(port, "srvr", /^Mode: .*\n/m))?.[1];
  return quorumSite({
    name: "ZooKeeper, three servers",
    ...ensemble,
    leader: async () => {
      const modes = await Promise.all(ensemble.servers.map(modeOf));
      return modes.includes(undefined) ? undefined : ensemble.servers[modes.indexOf("leader")];
    },
    // So long until servers notice that they are cut off; then they elect a leader, for whom all sessions begin anew.
    quietMs: tickTime * syncLimit + 2_000 + 2_000,
  });
}

interface Quorum {
  readonly name: string;
  readonly url: string;
  readonly servers: readonly Server[];
  readonly peers: PeerNetwork;
  /** The leader that all of them agree on, if they do. */
  leader(): Promise<Server | undefined>;
  readonly quietMs: number;
  stop(): Promise<void>;
}

type Deed = (server: Server) => Promise<void>;

/** What is done to the leader, to others, or to all of them, and undone. */
function quorumSite({ name, url, servers, peers, leader, quietMs, stop }: Quorum): Site {
  const agreed = async (): Promise<Server> => until(`${name}: all agree on a leader`, leader);
  const done = (
    whom: "all" | "leader" | "follower" | "both followers",
    what: string,
    strike: Deed,
    mend: Deed,
  ): Outage => {
    let struck: readonly Server[] = [];
    return {
      name: `${whom} ${what}`,
      restarts: mend === restart,
      partial: whom === "leader" || whom === "follower",
      async strike() {
        const first = await agreed();
        const others = servers.filter((each) => each !== first);
        const chosen = {
          all: servers,
          leader: [first],
          follower: others.slice(0, 1),
          "both followers": others,
        };
        struck = chosen[whom];
        await Promise.all(struck.map(strike));
      },
      async mend() {
        await Promise.all(struck.map(mend));
        await agreed();
      },
    };
  };
  const kill: Deed = async (server) => server.kill();
  const shutDown: Deed = async (server) => server.kill("SIGTERM");
  const restart: Deed = async (server) => server.restart();
  const pause: Deed = async (server) => server.pause();
  const unpause: Deed = async (server) => server.unpause();
  const isolate: Deed = async (server) => peers.isolate(server);
  const rejoin: Deed = async (server) => peers.rejoin(server);
  return {
    name,
    url,
    quietMs,
    // A leader that is paused and thaws is left out: what etcd does then is a declared limit of promise 1.
    outages: [
      done("all", "killed", kill, restart),
      ...times(3, done("leader", "killed", kill, restart)),
      done("leader", "shut down", shutDown, restart),
      ...times(3, done("leader", "isolated", isolate, rejoin)),
      done("follower", "killed", kill, restart),
      done("follower", "paused", pause, unpause),
      done("follower", "isolated", isolate, rejoin),
      // Not isolated: the engine may give two that come back each other's address, and etcd does not get over that.
      done("both followers", "paused", pause, unpause),
    ],
    finale: null,
    link: async () => null,
    [Symbol.asyncDispose]: stop,
  };
}
