/** `redis://…` with all its options, as an object. */

import { InvalidOptionError } from "@elect/core/adapter";
import type { ConnectionSettings, Durability, Endpoint, RedisOptions, Replication } from "./options.ts";

const shape = /^(rediss?):\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/(\d*))?(?:\?([^#]*))?$/;

export function fromUrlText(url: string): RedisOptions {
  const [, scheme, login = "", hosts = "", db = "", query = ""] = shape.exec(url) ?? [];
  if (scheme === undefined || hosts === "") {
    // The URL itself is not shown: it may hold a password.
    throw new InvalidOptionError(
      "url",
      "Redis: the URL must look like redis://[user:password@]host[:port][,host…][/db][?namespace=…], or rediss:// for TLS.",
    );
  }
  const colon = login.indexOf(":");
  const username = decode(colon < 0 ? login : login.slice(0, colon));
  const password = colon < 0 ? "" : decode(login.slice(colon + 1));
  const nodes = endpoints(hosts);
  const { sentinel, cluster, ...rest } = fromQuery(query);
  const connection: ConnectionSettings = {
    ...(username === "" ? {} : { username }),
    ...(password === "" ? {} : { password }),
    ...(db === "" ? {} : { db: Number(db) }),
    ...(scheme === "rediss" ? { tls: {} } : {}),
  };
  if (sentinel !== undefined) return { ...rest, sentinels: nodes, name: sentinel, connection };
  if (cluster === true) return { ...rest, cluster: nodes, connection };
  const [only, another] = nodes;
  if (only === undefined || another !== undefined) {
    throw new InvalidOptionError(
      "url",
      "Redis: a URL with several hosts needs ?sentinel=<name of the master> or ?cluster=true.",
    );
  }
  return { ...rest, connection: { ...connection, ...only } };
}

interface Query {
  namespace?: string;
  maxTtl?: number;
  durability?: Durability;
  sentinel?: string;
  cluster?: true;
  wait?: Replication;
}

function fromQuery(query: string): Query {
  const found: Query = {};
  let replicas = "";
  let timeout = "";
  for (const [key, value] of new URLSearchParams(query)) {
    if (key === "namespace") found.namespace = value;
    else if (key === "maxTtl") found.maxTtl = Number(value);
    else if (key === "durability") found.durability = value as Durability; // checked with all the others
    else if (key === "sentinel") found.sentinel = value;
    else if (key === "cluster" && value === "true") found.cluster = true;
    else if (key === "waitReplicas") replicas = value;
    else if (key === "waitTimeout") timeout = value;
    else {
      throw new InvalidOptionError(
        "url",
        `Redis: the URL's query has ${key}=…, which means nothing here. Known: namespace, maxTtl, durability, sentinel, cluster=true, waitReplicas, waitTimeout.`,
      );
    }
  }
  return replicas === "" && timeout === ""
    ? found
    : { ...found, wait: { replicas: Number(replicas), timeout: Number(timeout) } };
}

export function endpoints(hosts: string): Endpoint[] {
  return hosts.split(",").map((text) => {
    const [, six, name, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? [];
    const host = six ?? name;
    if (host === undefined)
      throw new InvalidOptionError("url", "Redis: the URL names a host that cannot be one.");
    return port === undefined ? { host } : { host, port: Number(port) };
  });
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new InvalidOptionError(
      "url",
      "Redis: the URL's user or password is not percent-encoded correctly.",
      { cause },
    );
  }
}
