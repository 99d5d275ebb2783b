// What can happen to several servers that make one store: the leader among them is lost, or so many that none is left.
import { setTimeout as sleep } from "node:timers/promises";
import { openFaultProxy } from "@elect/testing";
import {
  startEtcdCluster,
  startPostgresPair,
  startRedisSentinel,
  startZookeeperEnsemble,
  type PeerNetwork,
  type Server,
} from "../src/index.ts";
import { ask } from "../src/answers.ts";
import { command, untilReplied } from "../src/resp.ts";
import { withPostgres } from "../test/drivers.ts";
import { restarting, times, type Outage, type Site } from "./outage-sites.ts";

export const topologies: Readonly<Record<string, () => Promise<Site>>> = {
  "etcd, three members": etcdCluster,
  "ZooKeeper, three servers": zookeeperEnsemble,
  "Redis Sentinel": redisSentinel,
  "PostgreSQL with a standby": postgresPair,
};

const patienceMs = 60_000;

async function until<T>(what: string, found: () => Promise<T | undefined>): Promise<T> {
  for (const late = performance.now() + patienceMs; performance.now() < late; await sleep(100)) {
    const answer = await found().catch(() => undefined);
    if (answer !== undefined) return answer;
  }
  throw new Error(`not within ${patienceMs / 1000} s: ${what}`);
}

async function etcdCluster(): Promise<Site> {
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

async function zookeeperEnsemble(): Promise<Site> {
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
      done("both followers", "isolated", isolate, rejoin),
    ],
    finale: null,
    link: async () => null,
    [Symbol.asyncDispose]: stop,
  };
}

/**
 * After each outage the replica is the primary. Two things are left out, both of them the declared limit of promise 1 (an
 * old primary that serves beside the new one): one that is paused and thaws; and one that is back before all Sentinels
 * know its successor, for they lead clients to it and take ten seconds to make it a replica.
 */
async function redisSentinel(): Promise<Site> {
  const group = await startRedisSentinel({ downAfter: 500 });
  const both = [group.primary, group.replica];
  const hosts = group.sentinels.map(({ host, port }) => `${host}:${port}`).join(",");
  const maxTtl = 2_500;
  const primary = async (): Promise<Server> =>
    until("one primary, and a replica that follows it", async () => {
      const roles = await Promise.all(both.map(async ({ port }) => command(port, "INFO replication")));
      const first = roles.findIndex((role) => role.includes("role:master"));
      const follows = roles[1 - first]?.includes("master_link_status:up") ?? false;
      return follows ? both[first] : undefined;
    });
  const promoted = async ({ port }: Server): Promise<void> => {
    const all = group.sentinelServers.map(async (sentinel) =>
      untilReplied(sentinel.port, `SENTINEL get-master-addr-by-name ${group.name}`, (address) =>
        address.includes(`${port}\r\n`),
      ),
    );
    await Promise.all(all);
  };
  let struck = group.primary;
  const lost = (name: string, signal: "SIGKILL" | "SIGTERM"): Outage => ({
    name,
    restarts: true,
    partial: true,
    async strike() {
      struck = await primary();
      await struck.kill(signal);
      await promoted(struck === group.primary ? group.replica : group.primary);
    },
    async mend() {
      await struck.restart();
    },
  });
  return {
    name: "Redis Sentinel",
    url: `redis://${hosts}?sentinel=${group.name}&maxTtl=${maxTtl}`,
    outages: [
      ...times(2, lost("primary killed, replica promoted", "SIGKILL")),
      lost("primary shut down, replica promoted", "SIGTERM"),
    ],
    // Nobody new is elected on a promoted server for maxTtl.
    quietMs: maxTtl + 2_000,
    finale: null,
    link: async () => null,
    [Symbol.asyncDispose]: async () => group.stop(),
  };
}

/** At an address that follows the primary. */
async function postgresPair(): Promise<Site> {
  const pair = await startPostgresPair();
  const { primary, standby, peers } = pair;
  // Only here: a promoted standby is to commit alone.
  await withPostgres(primary.url, async (client) => {
    await client.query("alter system set synchronous_standby_names = '*'");
    await client.query("select pg_reload_conf()");
  });
  let port = primary.port;
  const proxy = await openFaultProxy({
    host: "127.0.0.1",
    get port() {
      return port;
    },
  });
  const silent = (name: string, strike: () => Promise<void>, mend: () => Promise<void>): Outage => ({
    name,
    restarts: false,
    partial: false,
    strike,
    mend,
  });
  return {
    name: "PostgreSQL with a standby",
    url: primary.url.replace(`:${primary.port}/`, `:${proxy.port}/`),
    outages: [
      ...times(
        2,
        restarting("primary killed", primary, async () => primary.kill()),
      ),
      restarting("primary shut down", primary, async () => primary.kill("SIGINT")),
      // No commit is confirmed while there is no standby.
      restarting("standby killed", standby, async () => standby.kill()),
      silent(
        "standby paused",
        async () => standby.pause(),
        async () => standby.unpause(),
      ),
      silent(
        "standby isolated",
        async () => peers.isolate(standby),
        async () => peers.rejoin(standby),
      ),
    ],
    finale: silent(
      "primary killed, standby promoted",
      async () => primary.kill(),
      async () => {
        await pair.promote();
        port = standby.port;
      },
    ),
    // A standby that was cut off comes back when it notices, and on another timeline the challenger's clock decides.
    quietMs: 5_000,
    link: async () => null,
    async [Symbol.asyncDispose]() {
      await proxy.close();
      await pair.stop();
    },
  };
}
