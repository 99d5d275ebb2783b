/** From a URL to a backend: the scheme names the package, which is loaded if it is installed. */

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import type { Backend } from "./backend.ts";
import { AdapterMissingError, ElectError, InvalidOptionError } from "./errors.ts";
import { memoryFromUrl } from "./memory.ts";

interface Source {
  readonly package: string;
  /** What to install with it. */
  readonly driver: string | null;
}

const sources: Readonly<Record<string, Source>> = {
  "sqlite:": { package: "@elect/sqlite", driver: null },
  "zookeeper:": { package: "@elect/zookeeper", driver: "node-zookeeper-client" },
  "etcd:": { package: "@elect/etcd", driver: "etcd3" },
  "etcds:": { package: "@elect/etcd", driver: "etcd3" },
  "redis:": { package: "@elect/redis", driver: "ioredis" },
  "rediss:": { package: "@elect/redis", driver: "ioredis" },
  "postgres:": { package: "@elect/postgres", driver: "pg" },
  "postgresql:": { package: "@elect/postgres", driver: "pg" },
};

/** What an adapter's package offers to `connect`. */
interface AdapterPackage {
  fromUrl(url: string): Backend;
}

/**
 * The backend that a URL names: `memory:`, `sqlite:./dir`, `zookeeper://h1,h2/chroot`, `etcd://h1,h2`, `redis://`,
 * `rediss://`, `postgres://`. Loads the adapter's package; connects only when an election needs it. Rejects with an
 * `InvalidOptionError` for a URL that cannot be meant, and an `AdapterMissingError` with the command to install.
 */
export async function connect(url: string): Promise<Backend> {
  const scheme = /^[a-z][a-z+]*:/.exec(url)?.[0] ?? "";
  if (scheme === "memory:") return memoryFromUrl(url);
  const source = sources[scheme];
  if (source === undefined) {
    const known = ["memory:", ...Object.keys(sources)].join(" ");
    // The rest of the URL may hold a password.
    throw new InvalidOptionError(
      "url",
      `A store's URL begins with one of ${known} and not with "${scheme}".`,
    );
  }
  const adapter = await load(source);
  return adapter.fromUrl(url);
}

/**
 * The application installs the adapter, so it is looked for where the application is: beside this package, beside the
 * program that runs, in the working directory.
 */
async function load(source: Source): Promise<AdapterPackage> {
  const places = [import.meta.url, process.argv[1], join(process.cwd(), "elect")];
  let cause: unknown;
  for (const place of places) {
    if (place === undefined) continue;
    try {
      const path = createRequire(place).resolve(source.package);
      return (await import(pathToFileURL(path).href)) as AdapterPackage;
    } catch (error) {
      if (error instanceof ElectError) throw error;
      if (!isMissing(error, source.package)) throw missing(source, error);
      cause = error;
    }
  }
  throw missing(source, cause);
}

function isMissing(error: unknown, packageName: string): boolean {
  return error instanceof Error && "code" in error && error.message.includes(packageName);
}

function missing(source: Source, cause: unknown): AdapterMissingError {
  const names = source.driver === null ? source.package : `${source.package} ${source.driver}`;
  return new AdapterMissingError(
    source.package,
    `The store's URL needs the package ${source.package}, which could not be loaded: run "npm install ${names}". See the cause.`,
    { cause },
  );
}
