/**
 * Elect on etcd.
 *
 * @module
 */

import { createBackend, type Backend } from "@elect/core/adapter";
import { EtcdAdapter } from "./adapter.ts";
import { optionsOfUrl, resolveOptions, type EtcdOptions } from "./options.ts";

export {
  guardedTxn,
  type GuardedOperation,
  type GuardedTerm,
  type GuardingClient,
  type GuardingTransaction,
  type GuardOptions,
} from "./guard.ts";
export type { EtcdClient, EtcdOptions, EtcdTls } from "./options.ts";

/**
 * A backend on etcd, from options or a URL: `etcd("etcd://etcd-1:2379,etcd-2:2379,etcd-3:2379")`. Connects only when
 * an election needs it.
 */
export function etcd(options: EtcdOptions | string = {}): Backend {
  const given = typeof options === "string" ? optionsOfUrl(options) : options;
  return createBackend(new EtcdAdapter(resolveOptions(given)));
}

/** What `connect(url)` of `@elect/core` calls. */
export function fromUrl(url: string): Backend {
  return etcd(url);
}
