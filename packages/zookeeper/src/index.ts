/** Elect on Apache ZooKeeper. */

import { createBackend, type Backend } from "@elect/core/adapter";
import { ZooKeeperAdapter } from "./adapter.ts";
import { resolveOptions, type ZooKeeperOptions } from "./options.ts";

/**
 * A backend on ZooKeeper.
 *
 * @example
 * const backend = zookeeper("zookeeper://zk1,zk2,zk3/my-app");
 */
export function zookeeper(options: ZooKeeperOptions | string): Backend {
  return createBackend(new ZooKeeperAdapter(resolveOptions(options)));
}

/** What `connect("zookeeper://…")` of `@elect/core` calls. */
export function fromUrl(url: string): Backend {
  return zookeeper(url);
}

export type { AclEntry, Credentials, ZooKeeperClient, ZooKeeperOptions } from "./options.ts";
export {
  guardedMulti,
  type GuardedTerm,
  type GuardingClient,
  type GuardingTransaction,
  type GuardOptions,
} from "./guard.ts";
