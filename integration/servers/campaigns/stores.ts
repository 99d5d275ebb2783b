// The server backends, started side by side, each with a namespace of this run's own.
import { randomBytes } from "node:crypto";
import {
  startEtcd,
  startPostgres,
  startRedis,
  startValkey,
  startZookeeper,
  type Server,
} from "../src/index.ts";
import { startAll } from "../src/start.ts";
import { withPostgres } from "../test/drivers.ts";

export type StoreName = "Redis" | "Valkey" | "PostgreSQL" | "etcd" | "ZooKeeper";

export interface Store extends AsyncDisposable {
  readonly name: StoreName;
  /** For `connect(url)`: with a namespace in which nobody else elects. */
  readonly url: string;
  readonly server: Server;
}

export interface Stores extends AsyncDisposable {
  readonly all: readonly Store[];
}

interface Kind {
  readonly start: () => Promise<Server>;
  /** What the adapter calls its namespace. */
  readonly namespace: string;
}

/** So that campaigns can ask it for the number of requests. */
const countingStatements = { shared_preload_libraries: "pg_stat_statements" };

/** A new Redis elects nobody until it has been up for as long as the longest lease, unless somebody vouches for it. */
const vouched = "durability=assumed&namespace";

const kinds: Readonly<Record<StoreName, Kind>> = {
  Redis: { start: async () => startRedis({ appendonly: "always" }), namespace: vouched },
  Valkey: { start: async () => startValkey({ appendonly: "always" }), namespace: vouched },
  PostgreSQL: { start: async () => startPostgres({ settings: countingStatements }), namespace: "schema" },
  etcd: { start: async () => startEtcd(), namespace: "namespace" },
  ZooKeeper: { start: async () => startZookeeper(), namespace: "namespace" },
};

export const storeNames = Object.keys(kinds) as StoreName[];

export async function startStore(name: StoreName): Promise<Store> {
  const server = await kinds[name].start();
  const namespace = `elect_run_${randomBytes(4).toString("hex")}`;
  const url = `${server.url}${server.url.includes("?") ? "&" : "?"}${kinds[name].namespace}=${namespace}`;
  return {
    name,
    url,
    server,
    async [Symbol.asyncDispose]() {
      // On a server that is not ours: sessions and their records have ended by themselves. Tables would stay.
      if (!server.owned && name === "PostgreSQL") {
        await withPostgres(server.url, async (client) =>
          client.query(`drop schema if exists ${namespace} cascade`),
        );
      }
      await server.stop();
    },
  };
}

/** Campaigns that count requests need a server that nobody else sends any to. */
export async function startOwnStore(name: StoreName): Promise<Store> {
  const store = await startStore(name);
  if (store.server.owned) return store;
  throw new Error(
    `${name}: a server that others use, too, cannot say what we asked of it. Unset ELECT_TEST_…_URL to use a container.`,
  );
}

export async function startStores(names: readonly StoreName[] = storeNames): Promise<Stores> {
  await using parts = new AsyncDisposableStack();
  const all = await startAll(parts, names.map(startStore));
  const kept = parts.move();
  return { all, [Symbol.asyncDispose]: async () => kept.disposeAsync() };
}
