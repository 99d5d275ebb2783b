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

const aName = `1 to ${nameLimit} bytes of well-formed text without control characters`;
const aValue = `at most ${metadataLimit} bytes of JSON`;

export function resolveOptions(options: ElectionOptions, maxTtl: number): ResolvedOptions {
  const { backend, name, ttl = 10_000, id, metadata = null } = options;
  const { generation = 0, drainTimeout = 10_000 } = options;
  const check = (option: string, value: unknown, fits: boolean, rule: string, from?: ErrorOptions): void => {
    if (fits) return;
    throw new InvalidOptionError(
      option,
      `Election ${shown(name)} on ${backend.address}: ${option} is ${shown(value)}; it must be ${rule}.`,
      from,
    );
  };
  check("name", name, isName(name), aName);
  check("id", id, id === undefined || isName(id), aName);
  check("ttl", ttl, isFrom(shortestTtl, ttl, maxTtl), `${shortestTtl} to ${maxTtl} ms`);
  const isWhole = Number.isInteger(generation) && isFrom(0, generation, highestGeneration);
  check("generation", generation, isWhole, `a whole number from 0 to ${highestGeneration}`);
  check("drainTimeout", drainTimeout, isFrom(0, drainTimeout, longestWait), `0 to ${longestWait} ms`);
  let json = "";
  let bytes = Infinity;
  let from: ErrorOptions | undefined;
  try {
    json = JSON.stringify(metadata);
    // Throws where there is no JSON, as for a function: the types say so, JavaScript does not.
    bytes = Buffer.byteLength(json);
  } catch (cause) {
    from = { cause };
  }
  check("metadata", metadata, bytes <= metadataLimit, aValue, from);
  return { name, ttl, id: id ?? null, metadata: json, generation, drainTimeout };
}

function isName(name: unknown): boolean {
  if (typeof name !== "string" || !name.isWellFormed()) return false;
  // oxlint-disable-next-line no-control-regex -- finding them is the point
  return isFrom(1, Buffer.byteLength(name), nameLimit) && !/[\u0000-\u001f\u007f]/.test(name);
}

/** Numbers only, whatever JavaScript hands over. */
function isFrom(low: number, value: number, high: number): boolean {
  return typeof value === "number" && value >= low && value <= high;
}

/** As it would be written, and not at any length. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 60));
  return Object(value) === value ? typeof value : String(value);
}
