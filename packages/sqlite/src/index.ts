/** `@elect/sqlite`: leader election for the processes of one host, without a server. */

export { fromUrl, sqlite } from "./adapter.ts";
export { guardedTransaction, type GuardedDatabase, type GuardedTransactionOptions } from "./guard.ts";
export type { Mode, SqliteOptions } from "./options.ts";
