// Three ways to elect that are in wide use: the controls. Each holds itself for the leader until an event tells it
// otherwise, and a silent link has no events.
import { Etcd3 } from "etcd3";
import { Redis } from "ioredis";
import { CreateMode, createClient, type Client } from "node-zookeeper-client";
import type { Contender, Way } from "./contender.ts";

/** `etcd3`'s own `Election`, used as its documentation shows: leader from `elected` to `error`. */
export const etcdElection: Way = {
  name: "etcd3's Election",
  async contend(url, election, ttl) {
    const client = new Etcd3({ hosts: url.replace(/^etcd:\/\/([^/?]+).*$/, "http://$1") });
    const campaign = client.election(election, ttl / 1000).campaign("a candidate");
    return flagged(
      (begin, end) => {
        campaign.on("elected", begin);
        campaign.on("error", end);
      },
      // Its lease ends by itself; to revoke it, it would have to reach the server.
      async () => client.close(),
    );
  },
};

/** The recipe of ZooKeeper's documentation (lowest ephemeral sequential node leads) until `disconnected`. */
export const zookeeperRecipe: Way = {
  name: 'a ZooKeeper recipe that trusts "disconnected"',
  async contend(url, election, ttl) {
    const client = createClient(url.replace(/^zookeeper:\/\/([^/?]+).*$/, "$1"), { sessionTimeout: ttl });
    return flagged(
      (begin, end) => {
        client.on("disconnected", end);
        client.on("expired", end);
        client.once("connected", () => void queue(client, `/${election}`, begin));
        client.connect();
      },
      async () => client.close(),
    );
  },
};

async function queue(client: Client, folder: string, begin: () => void): Promise<void> {
  await new Promise((done) => client.mkdirp(folder, done));
  const own = await new Promise<string>((done, failed) => {
    client.create(`${folder}/n-`, Buffer.alloc(0), CreateMode.EPHEMERAL_SEQUENTIAL, (error, path) =>
      error instanceof Error ? failed(error) : done(path.slice(folder.length + 1)),
    );
  });
  const look = (): void =>
    client.getChildren(folder, (error, nodes) => {
      if (error instanceof Error) return;
      const before = nodes.filter((node) => node < own).toSorted();
      const predecessor = before.at(-1);
      if (predecessor === undefined) return begin();
      client.exists(`${folder}/${predecessor}`, look, (failure, stat) => {
        if (!(failure instanceof Error) && (stat as unknown) === null) look();
      });
    });
  look();
}

/** `SET NX PX`, extended every third of the TTL; the lock is given up when the call that extends it says that it is gone. */
export const redisLock: Way = {
  name: "a Redis lock that is extended",
  async contend(url, election, ttl) {
    const client = new Redis(url.replace(/\?.*$/, ""));
    client.on("error", () => {});
    const owner = `${process.pid}.${Math.random()}`;
    let timer: NodeJS.Timeout | undefined;
    return flagged(
      (begin, end) => {
        const extend = async (): Promise<void> => {
          const alive = await client.eval(extendScript, 1, election, owner, ttl);
          if (alive !== 1) stop();
        };
        const stop = (): void => (clearInterval(timer), end());
        const acquire = async (): Promise<void> => {
          if ((await client.set(election, owner, "PX", ttl, "NX")) !== "OK") return;
          clearInterval(timer);
          begin();
          timer = setInterval(() => void extend().catch(stop), ttl / 3);
        };
        timer = setInterval(() => void acquire().catch(() => {}), 20);
      },
      async () => {
        clearInterval(timer);
        client.disconnect();
      },
    );
  },
};

const extendScript =
  "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0";

/** A contender that goes by a flag, which events set and clear. */
function flagged(
  listen: (begin: () => void, end: () => void) => void,
  leave: () => Promise<void>,
): Contender {
  let until = 0;
  const elected = new Promise<number>((resolve) => {
    listen(
      () => {
        until = Infinity;
        resolve(performance.now());
      },
      () => (until = Math.min(until, performance.now())),
    );
  });
  return {
    elected,
    leadsUntil: () => until,
    leads: () => until > performance.now(),
    [Symbol.asyncDispose]: leave,
  };
}
