/** What `createElection` takes, and the checks on it: in order, each with one sentence that says what to do. */

import type { Backend } from "./backend.ts";
import { InvalidOptionError } from "./errors.ts";

/** A value that survives JSON: what others may read about a candidate. */
export type Metadata =
  | null
  | boolean
  | number
  | string
  | readonly Metadata[]
  | { readonly [key: string]: Metadata };

export interface ElectionOptions {
  /** Where to elect: from `connect(url)`, `memory()`, `sqlite()`, `redis()`… */
  readonly backend: Backend;
  /** What the candidates compete for: 1 to 200 bytes of UTF-8, without control characters. */
  readonly name: string;
  /**
   * For how many ms a silent leader can block a successor; at least 500. Short: fast take-over. Long: fewer proofs
   * (one every third of it), and longer outages of the store are ridden out. A store may grant more than asked.
   * @default 10_000
   */
  readonly ttl?: number;
  /**
   * This candidate's name for others to read, 1 to 200 bytes. It must be unique to this process *incarnation*, as
   * the default is; the store tells candidates apart by a random nonce all the same.
   * @default 16 random hexadecimal digits
   */
  readonly id?: string;
  /** What others may read about this candidate, for example its address. At most 4,096 bytes as JSON. @default null */
  readonly metadata?: Metadata;
  /**
   * The leading part of `term.fence`. Raise it, on all candidates, when you move to another store, whose tokens
   * start from elsewhere. A whole number from 0 to 9,999,999,999.
   * @default 0
   */
  readonly generation?: number;
  /**
   * How many ms work may take to stop, once told to, before that is reported (event `overdue`; `close()` then
   * settles without it). Nothing is released under running work, however long it takes.
   * @default 10_000
   */
  readonly drainTimeout?: number;
}

export interface ResolvedOptions {
  readonly name: string;
  readonly ttl: number;
  readonly id: string | null;
  /** As JSON. */
  readonly metadata: string;
  readonly generation: number;
  readonly drainTimeout: number;
}

const shortestTtl = 500;
const metadataLimit = 4_096;
const nameLimit = 200;
const highestGeneration = 9_999_999_999;
/** Node's longest timer. */
const longestWait = 2 ** 31 - 1;

export function resolveOptions(options: ElectionOptions, maxTtl: number): ResolvedOptions {
  const { name, ttl = 10_000, id, metadata = null, generation = 0, drainTimeout = 10_000 } = options;
  checkName("name", name);
  if (id !== undefined) checkName("id", id);
  if (!Number.isFinite(ttl) || ttl < shortestTtl) {
    throw invalid("ttl", name, `ttl is ${ttl}; it must be ${shortestTtl} ms or more.`);
  }
  if (ttl > maxTtl) {
    throw invalid(
      "ttl",
      name,
      `ttl is ${ttl} ms, but ${options.backend.address} takes ${maxTtl} ms at most.`,
    );
  }
  if (!Number.isSafeInteger(generation) || generation < 0 || generation > highestGeneration) {
    throw invalid(
      "generation",
      name,
      `generation is ${generation}; it must be a whole number from 0 to ${highestGeneration}.`,
    );
  }
  if (!Number.isFinite(drainTimeout) || drainTimeout < 0 || drainTimeout > longestWait) {
    throw invalid(
      "drainTimeout",
      name,
      `drainTimeout is ${drainTimeout}; it must be 0 to ${longestWait} ms.`,
    );
  }
  return { name, ttl, id: id ?? null, metadata: serialise(name, metadata), generation, drainTimeout };
}

function checkName(option: "name" | "id", name: unknown): asserts name is string {
  if (typeof name !== "string" || name === "") {
    throw new InvalidOptionError(option, `The election's ${option} must be a non-empty string.`);
  }
  const bytes = Buffer.byteLength(name);
  if (bytes > nameLimit) {
    throw new InvalidOptionError(
      option,
      `The election's ${option} has ${bytes} bytes; it may have ${nameLimit}.`,
    );
  }
  // oxlint-disable-next-line no-control-regex -- finding them is the point
  if (/[\u0000-\u001f\u007f]/.test(name) || !name.isWellFormed()) {
    const shown = JSON.stringify(name);
    throw new InvalidOptionError(
      option,
      `The election's ${option} ${shown} has control characters, or is not well-formed.`,
    );
  }
}

function serialise(name: string, metadata: Metadata): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(metadata) as string | undefined;
  } catch (cause) {
    throw invalid("metadata", name, "metadata cannot be written as JSON.", { cause });
  }
  // A function, a symbol and undefined have no JSON; the types say so, JavaScript does not.
  if (json === undefined) throw invalid("metadata", name, "metadata cannot be written as JSON.");
  const bytes = Buffer.byteLength(json);
  if (bytes > metadataLimit) {
    throw invalid("metadata", name, `metadata has ${bytes} bytes as JSON; it may have ${metadataLimit}.`);
  }
  return json;
}

function invalid(option: string, name: string, message: string, options?: ErrorOptions): InvalidOptionError {
  return new InvalidOptionError(option, `Election "${name}": ${message}`, options);
}
