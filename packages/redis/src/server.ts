/** What a server tells about itself, and what of it weakens the promises. */

import { RefusedError } from "@elect/core/adapter";
import type { Settings } from "./options.ts";

export interface ServerFacts {
  /** Random, new with every start. */
  readonly runId: string;
  readonly role: string;
  readonly evicts: string | null;
  /** `"always"`, `"everysec"`, `"no"`; `"off"` without an append-only file; `null` when we may not know. */
  readonly fsync: string | null;
  readonly replicas: number;
}

export function factsFrom(info: unknown, config: unknown): ServerFacts {
  const fields = new Map<string, string>();
  for (const line of String(info).split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  // Until it has read its log it says that it has none (`aof_enabled:0`), which is no reason to refuse it, or to wait later.
  if (fields.get("loading") === "1") throw new Error("The server is still loading its data into memory");
  const policy = fields.get("maxmemory_policy") ?? "noeviction";
  const limited = (fields.get("maxmemory") ?? "0") !== "0";
  return {
    runId: fields.get("run_id") ?? "",
    role: fields.get("role") ?? "master",
    evicts: limited && policy !== "noeviction" ? policy : null,
    fsync: fields.get("aof_enabled") === "1" ? fsyncFrom(config) : "off",
    replicas: Number(fields.get("connected_slaves") ?? 0),
  };
}

/** Of `CONFIG GET *appendfsync*`, which not everybody may ask. */
function fsyncFrom(config: unknown): string | null {
  if (!Array.isArray(config)) return null;
  const values = new Map<unknown, unknown>();
  for (let i = 0; i < config.length; i += 2) values.set(config[i], config[i + 1]);
  const policy = values.get("appendfsync");
  if (policy === "always" && values.get("no-appendfsync-on-rewrite") === "yes")
    return "always, but not during rewrites";
  return typeof policy === "string" ? policy : null;
}

/**
 * Who vouches for the server's memory, as the scripts take it: `*` the operator; a run id: that process, as far as we
 * saw; nothing: nobody.
 */
export function durable(settings: Settings, server: ServerFacts | null): string {
  if (settings.durability === "assumed") return "*";
  return server?.fsync === "always" ? server.runId : "";
}

/** One sentence for each setting that can lose what the server acknowledged. */
function weaknesses(settings: Settings, server: ServerFacts): string[] {
  if (settings.durability === "assumed") return [];
  const found: string[] = [];
  if (server.evicts !== null) {
    found.push(
      `maxmemory-policy is ${server.evicts}: the server may evict sessions and records of leaders. Set it to noeviction.`,
    );
  }
  if (server.fsync === null) {
    found.push(
      `This user may not read appendfsync (CONFIG GET), so the server counts as one that forgets: after a restart ` +
        `nobody is elected for maxTtl (${settings.maxTtlMs} ms). Grant config|get, or state durability: "assumed".`,
    );
  } else if (server.fsync !== "always") {
    found.push(
      `appendfsync is ${server.fsync}: the server may forget acknowledged writes when it restarts; after a restart ` +
        `nobody is elected for maxTtl (${settings.maxTtlMs} ms). Set appendonly yes and appendfsync always.`,
    );
  }
  if (server.replicas > 0 && settings.wait === null) {
    found.push(
      `The server has ${server.replicas} replica(s) and option wait is not set: a fail-over may lose acknowledged ` +
        `writes, and a master that was cut off may go on serving its side. Set wait, min-replicas-to-write and min-replicas-max-lag.`,
    );
  }
  return found;
}

/** Refuses a server that cannot be elected on. */
export function admit(settings: Settings, server: ServerFacts): void {
  const { address, route, durability } = settings;
  if (server.role !== "master" && route.kind !== "cluster") {
    // During a fail-over Sentinel may still name the old master: that will pass.
    if (route.kind === "sentinel") throw new Error(`The Sentinels of ${address} sent us to a replica`);
    throw new RefusedError(
      "standby",
      `Redis at ${address} is a replica (role ${server.role}); elections need the master. Give its address, or use Sentinel.`,
    );
  }
  const found = durability === "required" ? weaknesses(settings, server) : [];
  if (found.length > 0) {
    throw new RefusedError(
      "durability",
      `Redis at ${address} does not keep what it acknowledges, and durability is "required". ${found.join(" ")}`,
    );
  }
}

/** `quietMs`: for how long nobody is elected; `longestTtl`: the longest that any process declared. */
export function warningsOf(
  settings: Settings,
  server: ServerFacts,
  quietMs: number,
  longestTtl: number,
): readonly string[] {
  const { maxTtlMs, namespace } = settings;
  const warnings = weaknesses(settings, server);
  if (longestTtl !== maxTtlMs) {
    warnings.push(
      `maxTtl is ${maxTtlMs} ms here and was ${longestTtl} ms in another process of namespace "${namespace}": ` +
        `give all the same value.`,
    );
  }
  if (quietMs > 0) {
    warnings.push(
      `The server has started or been promoted, and may have forgotten who leads: nobody is elected for another ${quietMs} ms.`,
    );
  }
  return warnings;
}
