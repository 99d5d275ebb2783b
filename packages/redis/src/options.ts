/** What `redis()` takes, by object or by URL, checked and brought into one shape. */

import { InvalidOptionError } from "@elect/core/adapter";
import type { ConnectionOptions } from "node:tls";
import { endpoints, fromUrlText } from "./url.ts";

export interface RedisOptions {
  /**
   * `redis://[user:password@]host[:port][/db]`, `rediss://…` for TLS. With several hosts,
   * `?sentinel=<name of the master>` makes them Sentinels and `?cluster=true` the nodes of a Cluster.
   * The other options may be part of the query: `?namespace=billing&maxTtl=60000`.
   * @default "redis://127.0.0.1:6379"
   */
  readonly url?: string;
  /** Your own `ioredis` client or Cluster. Its configuration is copied; its connections are not touched. */
  readonly client?: DriverClient;
  /** Sentinels, together with `name`. */
  readonly sentinels?: readonly Endpoint[];
  /** The name by which the Sentinels know the master. */
  readonly name?: string;
  /** Some nodes of a Redis Cluster. */
  readonly cluster?: readonly Endpoint[];
  /** What else the driver needs in order to connect. */
  readonly connection?: ConnectionSettings;
  /**
   * Elections meet in a namespace. One namespace lives on one shard of a Cluster; several of them spread.
   * @default "default"
   */
  readonly namespace?: string;
  /**
   * The longest TTL in use in this namespace, in ms; the same for all processes. A server that may have forgotten
   * who leads elects nobody for so long.
   * @default 30_000
   */
  readonly maxTtl?: number;
  /**
   * - `"observed"`: settings of the server that lose acknowledged writes are reported as warnings;
   * - `"required"`: they are refused;
   * - `"assumed"`: you vouch that an acknowledged write survives a restart and a fail-over. Never wait.
   *
   * The same for all processes: what one assumes of a server, it records for all.
   * @default "observed"
   */
  readonly durability?: Durability;
  /** Counts a claim or a proof only when so many replicas have acknowledged it in so many ms. */
  readonly wait?: Replication;
}

export type Durability = "observed" | "required" | "assumed";

export interface Endpoint {
  readonly host: string;
  /** @default 6379, for a Sentinel 26379 */
  readonly port?: number;
}

export interface Replication {
  readonly replicas: number;
  readonly timeout: number;
}

/** Passed on to `ioredis` as they are. */
export interface ConnectionSettings {
  readonly host?: string;
  readonly port?: number;
  /** A Unix socket. */
  readonly path?: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly db?: number | undefined;
  readonly family?: number;
  readonly tls?: ConnectionOptions | undefined;
  readonly sentinelUsername?: string | undefined;
  readonly sentinelPassword?: string | undefined;
  readonly sentinelTLS?: ConnectionOptions | undefined;
  readonly enableTLSForSentinelMode?: boolean | undefined;
  /** Where the nodes really are, by the `host:port` that they announce. */
  readonly natMap?: NatMap | undefined;
}

export type NatMap =
  | { readonly [announced: string]: { host: string; port: number } }
  | ((announced: string) => { host: string; port: number } | null);

/** The parts of an `ioredis` client that are looked at. */
export interface DriverClient {
  readonly options: object;
  readonly isCluster?: boolean;
}

/** How the server is found. */
export type Route =
  | { readonly kind: "single" }
  | { readonly kind: "sentinel" }
  | { readonly kind: "cluster"; readonly seeds: readonly Required<Endpoint>[] };

/** What the adapter works with. */
export interface Settings {
  readonly route: Route;
  /** For the driver; ours are laid over them. */
  readonly driver: ConnectionSettings & { sentinels?: Endpoint[]; name?: string };
  /** The key of the hash of records; every other key begins with it. */
  readonly records: string;
  readonly namespace: string;
  readonly address: string;
  readonly maxTtlMs: number;
  readonly durability: Durability;
  readonly wait: Replication | null;
}

export function resolveOptions(given: RedisOptions | string): Settings {
  const options = typeof given === "string" ? { url: given } : given;
  const sources = [options.url, options.client, options.sentinels, options.cluster].filter(
    (source) => source !== undefined,
  );
  if (sources.length > 1) {
    throw new InvalidOptionError(
      "url",
      "Redis: give one of url, client, sentinels and cluster, not several.",
    );
  }
  const from = options.url === undefined ? options : { ...options, ...fromUrlText(options.url) };
  const { namespace = "default", maxTtl = 30_000, durability = "observed", wait } = from;
  if (!/^[\w.:-]{1,100}$/.test(namespace)) {
    throw new InvalidOptionError(
      "namespace",
      `Redis: namespace ${JSON.stringify(namespace)} must be 1 to 100 letters, digits or any of _ . : -`,
    );
  }
  if (!Number.isSafeInteger(maxTtl) || maxTtl < 500 || maxTtl > 86_400_000) {
    throw new InvalidOptionError(
      "maxTtl",
      `Redis: maxTtl is ${maxTtl}; it must be whole milliseconds from 500 to 86400000 (a day).`,
    );
  }
  if (!["observed", "required", "assumed"].includes(durability)) {
    throw new InvalidOptionError(
      "durability",
      `Redis: durability is ${JSON.stringify(durability)}; it must be "observed", "required" or "assumed".`,
    );
  }
  if (wait !== undefined && !(isCount(wait.replicas, 1, 100) && isCount(wait.timeout, 1, maxTtl))) {
    throw new InvalidOptionError(
      "wait",
      `Redis: wait needs replicas (1 to 100) and timeout (1 ms to maxTtl).`,
    );
  }
  const { route, driver, prefix, hosts } = whereTo(from);
  return {
    route,
    driver,
    records: `${prefix}elect:{${namespace}}`,
    namespace,
    address: `${driver.tls === undefined ? "redis" : "rediss"}://${hosts}/${driver.db ?? 0}?namespace=${namespace}`,
    maxTtlMs: maxTtl,
    durability,
    wait: wait ?? null,
  };
}

type Whereabouts = Pick<Settings, "route" | "driver"> & { readonly prefix: string; readonly hosts: string };

function whereTo(options: RedisOptions): Whereabouts {
  const { client, sentinels, name, cluster, connection = {} } = options;
  if (client !== undefined) return likeClient(client);
  if (sentinels !== undefined) {
    if (sentinels.length === 0 || name === undefined || name === "") {
      throw new InvalidOptionError(
        "sentinels",
        "Redis: Sentinels need at least one { host, port } and the name of the master.",
      );
    }
    const all = sentinels.map((sentinel) => ({ port: 26_379, ...sentinel }));
    return {
      route: { kind: "sentinel" },
      driver: { ...connection, sentinels: all, name },
      prefix: "",
      hosts: `${name}@${shown(all)}`,
    };
  }
  if (cluster !== undefined) {
    const seeds = cluster.map((node) => ({ port: 6379, ...node }));
    if (seeds.length === 0)
      throw new InvalidOptionError("cluster", "Redis: a Cluster needs at least one { host, port }.");
    return { route: { kind: "cluster", seeds }, driver: connection, prefix: "", hosts: shown(seeds) };
  }
  const { host = "127.0.0.1", port = 6379, path } = connection;
  return {
    route: { kind: "single" },
    driver: { ...connection, host, port },
    prefix: "",
    hosts: path ?? shown([{ host, port }]),
  };
}

/** The configuration of the user's client, for connections of our own. Its key prefix counts: its ACL may ask for it. */
function likeClient(client: DriverClient): Whereabouts {
  const options: unknown = client.options;
  if (typeof options !== "object" || options === null) {
    throw new InvalidOptionError(
      "client",
      "Redis: client must be a client of ioredis (new Redis(…) or new Cluster(…)).",
    );
  }
  const configured = options as ClientConfiguration;
  const prefix = configured.keyPrefix ?? "";
  if (client.isCluster === true) {
    const nodes = (client as { startupNodes?: readonly unknown[] }).startupNodes ?? [];
    const { natMap } = configured;
    const found = whereTo({
      cluster: nodes.map(toEndpoint),
      connection: { ...configured.redisOptions, ...(natMap === undefined ? {} : { natMap }) },
    });
    return { ...found, prefix };
  }
  if (configured.sentinels) {
    const { sentinels, name = "" } = configured;
    return { route: { kind: "sentinel" }, driver: configured, prefix, hosts: `${name}@${shown(sentinels)}` };
  }
  const { host = "127.0.0.1", port = 6379, path } = configured;
  return { route: { kind: "single" }, driver: configured, prefix, hosts: path ?? shown([{ host, port }]) };
}

type ClientConfiguration = Settings["driver"] & {
  readonly keyPrefix?: string;
  readonly redisOptions?: ConnectionSettings;
};

/** ioredis takes the nodes of a Cluster as ports, URLs and objects. */
function toEndpoint(node: unknown): Required<Endpoint> {
  if (typeof node === "number") return { host: "127.0.0.1", port: node };
  if (typeof node === "string") {
    const [first = { host: "127.0.0.1" }] = endpoints(
      node
        .replace(/^rediss?:\/\//, "")
        .replace(/^.*@/, "")
        .replace(/[/?].*$/, ""),
    );
    return { port: 6379, ...first };
  }
  const { host = "127.0.0.1", port = 6379 } = (node ?? {}) as Partial<Endpoint>;
  return { host, port: Number(port) };
}

function shown(nodes: readonly Endpoint[]): string {
  return nodes.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port ?? "?"}`).join(",");
}

function isCount(value: unknown, least: number, most: number): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most;
}
