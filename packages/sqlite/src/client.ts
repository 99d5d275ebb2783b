/** The driver, `node:sqlite`: the members that are used of it, how it is loaded and how it opens a file. */

import type { DatabaseSync } from "node:sqlite";
import { RefusedError } from "@elect/core/adapter";

export type Value = null | number | bigint | string;
export type Row = Record<string, Value | Uint8Array>;

export interface Statement {
  get(...values: Value[]): Row | undefined;
  all(...values: Value[]): Row[];
  run(...values: Value[]): { changes: number | bigint };
  setReadBigInts(enabled: boolean): void;
}

export interface Database {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

/** `write` makes the file if there is none. */
export type Access = "read" | "write";

export interface Driver {
  open(path: string, access: Access): Database;
}

/**
 * By path and not by `file:` URL, which Node 22.13 takes for a file name. No busy timeout is set: SQLite's busy handler
 * would sleep in the event loop. `busy.ts` waits in its place.
 */
export async function loadDriver(address: string): Promise<Driver> {
  const { DatabaseSync } = await loadModule(address);
  return { open: (path, access) => new DatabaseSync(path, { readOnly: access === "read" }) };
}

async function loadModule(address: string): Promise<{ readonly DatabaseSync: typeof DatabaseSync }> {
  try {
    // Not a static import: on a Node that lacks it, the reason should be said, and said as ours.
    return await import("node:sqlite");
  } catch (cause) {
    throw new RefusedError(
      "runtime",
      `${address} needs node:sqlite, which this Node (${process.version}) does not offer: run it with Node 22.13 or newer.`,
      { cause },
    );
  }
}

/** A column that our own schema declares `text`. */
export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value === "string") return value;
  throw new TypeError(`the database has no text in "${column}"`);
}

/** A column that our own schema declares `integer`, and that stays far below 2⁵³. */
export function count(row: Row, column: string): number {
  const value = row[column];
  if (typeof value === "number") return value;
  throw new TypeError(`the database has no number in "${column}"`);
}

/** A token: read as a bigint, by a statement that reads bigints. */
export function token(row: Row, column: string): bigint {
  const value = row[column];
  if (typeof value === "bigint") return value;
  throw new TypeError(`the database has no token in "${column}"`);
}
