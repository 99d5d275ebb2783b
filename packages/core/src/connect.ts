/** From a URL to a backend: the scheme names the package, which is loaded if it is installed. */

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import type { Backend } from "./backend.ts";
import { AdapterMissingError, ElectError, InvalidOptionError } from "./errors.ts";
import { memoryFromUrl } from "./memory.ts";

/** The package of each store is `@elect/<store>`; this is what has to be installed with it. */
const drivers: Readonly<Record<string, string>> = {
  sqlite: "",
  zookeeper: "node-zookeeper-client",
  etcd: "etcd3",
  redis: "ioredis",
  postgres: "pg",
};

/** Other names of schemes: with TLS, or as long as some write them. */
const aliases: Readonly<Record<string, string>> = { etcds: "etcd", rediss: "redis", postgresql: "postgres" };

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
  const store = aliases[scheme] ?? scheme;
  const driver = drivers[store];
  if (driver === undefined) {
    const known = ["memory", ...Object.keys(drivers), ...Object.keys(aliases)].join(": ");
    // The rest of the URL may hold a password.
    throw new InvalidOptionError(
      "url",
      `A store's URL begins with one of ${known}: and not with "${scheme}:".`,
    );
  }
  const adapter = await load(`@elect/${store}`, driver);
  return adapter.fromUrl(url);
}

/**
 * The application installs the adapter, so it is looked for where the application is: beside this package, beside the
 * program that runs, in the working directory.
 */
async function load(name: string, driver: string): Promise<AdapterPackage> {
  let cause: unknown;
  for (const place of [import.meta.url, process.argv[1], join(process.cwd(), "elect")]) {
    if (place === undefined) continue;
    try {
      const path = createRequire(place).resolve(name);
      return (await import(pathToFileURL(path).href)) as AdapterPackage;
    } catch (error) {
      if (error instanceof ElectError) throw error;
      cause = error;
      // Found, but it does not load: another place would be no better.
      if (!(error instanceof Error && error.message.includes(name))) break;
    }
  }
  throw new AdapterMissingError(
    name,
    `The store's URL needs the package ${name}, which could not be loaded: run "${`npm install ${name} ${driver}`.trim()}". See the cause.`,
    { cause },
  );
}
