// What can happen to a primary and the one that may take its place.
import { openFaultProxy } from "@elect/testing";
import { startPostgresPair, startRedisSentinel, type Server } from "../src/index.ts";
import { command, untilReplied } from "../src/resp.ts";
import { withPostgres } from "../test/drivers.ts";
import { until } from "./patience.ts";
import { restarting, times, type Outage, type Site } from "./outage-sites.ts";

/**
 * After each outage the replica is the primary. Two things are left out, both of them the declared limit of promise 1 (an
 * old primary that serves beside the new one): one that is paused and thaws; and one that is back before all Sentinels
 * know its successor, for they lead clients to it and take ten seconds to make it a replica.
 */
export async function redisSentinel(): Promise<Site> {
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
export async function postgresPair(): Promise<Site> {
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
