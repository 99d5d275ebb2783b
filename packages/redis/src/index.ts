/**
 * Elect on Redis and Valkey.
 *
 * @module
 */

import { createBackend, type Backend } from "@elect/core/adapter";
import { RedisAdapter } from "./adapter.ts";
import type { RedisOptions } from "./options.ts";

export { guardedEval, guardedSet } from "./guard.ts";
export type { Guarded, GuardClient, GuardedScript, Leadership } from "./guard.ts";
export type {
  ConnectionSettings,
  DriverClient,
  Durability,
  Endpoint,
  NatMap,
  RedisOptions,
  Replication,
} from "./options.ts";

/**
 * Elections on Redis or Valkey.
 *
 * ```ts
 * const backend = redis("redis://127.0.0.1:6379");
 * const backend = redis({ client: myIoredis, namespace: "billing" });
 * ```
 */
export function redis(options: RedisOptions | string = {}): Backend {
  return createBackend(new RedisAdapter(options));
}

/** What `connect("redis://…")` of @elect/core calls. */
export function fromUrl(url: string): Backend {
  return redis(url);
}
