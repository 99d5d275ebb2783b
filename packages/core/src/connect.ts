/** From a URL to a backend: the scheme names the package, which is loaded if it is installed. */

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import type { Backend } from "./backend.ts";
import { AdapterMissingError, ElectError, InvalidOptionError } from "./errors.ts";
import { memoryFromUrl } from "./memory.ts";

/** For each scheme what has to be installed: the adapter in `@elect/`, and the driver that it needs. */
const packages: ReadonlyMap<string, string> = new Map([
  ["sqlite", "sqlite"],
  ["zookeeper", "zookeeper node-zookeeper-client"],
  ["etcd", "etcd etcd3"],
  ["etcds", "etcd etcd3"],
  ["redis", "redis ioredis"],
  ["rediss", "redis ioredis"],
  ["postgres", "postgres pg"],
  ["postgresql", "postgres pg"],
]);

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
  const scheme = /^([a-z][a-z0-9]*):/.exec(url)?.[1] ?? "";
  if (scheme === "memory") return memoryFromUrl(url);
  const needed = packages.get(scheme);
  if (needed === undefined) {
    const known = ["memory", ...packages.keys()].join(": ");
    // The rest of the URL may hold a password.
    throw new InvalidOptionError(
      "url",
      `A store's URL begins with one of ${known}: and not with "${scheme}:".`,
    );
  }
  const adapter = await load(`@elect/${needed}`);
  return adapter.fromUrl(url);
}

async function load(needed: string): Promise<AdapterPackage> {
  const [name = ""] = needed.split(" ");
  try {
    return (await import(pathToFileURL(locate(name)).href)) as AdapterPackage;
  } catch (cause) {
    if (cause instanceof ElectError) throw cause;
    throw new AdapterMissingError(
      name,
      `The store's URL needs the package ${name}, which could not be loaded: run "npm install ${needed}". See the cause.`,
      { cause },
    );
  }
}

/**
 * The application installs the adapter, so it is looked for where the application is: beside this package, beside the
 * program that runs, in the working directory.
 */
function locate(name: string): string {
  let cause: unknown;
  for (const place of [import.meta.url, process.argv[1], `${process.cwd()}/elect`]) {
    try {
      return createRequire(place ?? "").resolve(name);
    } catch (error) {
      cause ??= error;
    }
  }
  throw cause;
}
