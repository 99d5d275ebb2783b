// Where candidates elect, and what can happen to it: single servers. Topologies are in outage-quorums.ts and outage-failovers.ts.
import { openFaultProxy, type FaultProxy } from "@elect/testing";
import { startRedis, type Server } from "../src/index.ts";
import { startOwnStore, storeNames, type Store, type StoreName } from "./stores.ts";

/** An outage: something happens to the store, lasts, and is mended. */
export interface Outage {
  readonly name: string;
  /** Whether it restarts a server. */
  readonly restarts: boolean;
  /** What is left goes on serving: elections are led again while it lasts. */
  readonly partial: boolean;
  strike(): Promise<void>;
  /** Settles when the store answers again. */
  mend(): Promise<void>;
}

export interface Site extends AsyncDisposable {
  readonly name: string;
  /** For `connect(url)`. */
  readonly url: string;
  /** Each as often as it shall happen: one is picked at random. */
  readonly outages: readonly Outage[];
  /** What cannot be undone, and therefore comes last. */
  readonly finale: Outage | null;
  /** What the store itself may add to the adapter's bound before anybody is elected after an outage, in ms. */
  readonly quietMs: number;
  /** A link to it that can be broken; none where candidates must find the way to its servers by themselves. */
  link(): Promise<{ readonly url: string; readonly proxy: FaultProxy } | null>;
}

/** Single servers of all backends, and Redis as it is when it forgets. */
const forgetful = "Redis without its log";
export const singleNames: readonly string[] = [...storeNames, forgetful];

/** Leases of the whole namespace are over after that, so that a server that has forgotten waits no longer. */
const forgetfulMaxTtl = 2_500;

export async function startSingle(name: string): Promise<Site> {
  if (name !== forgetful) {
    const store = await startOwnStore(name as StoreName);
    return new SingleSite(name, store, signalOf(store), 0);
  }
  const server = await startRedis();
  const url = `${server.url}?maxTtl=${forgetfulMaxTtl}`;
  // What the adapter's README says: nobody is elected on a server that may have forgotten for maxTtl + 2 s.
  return new SingleSite(name, { url, server }, "SIGTERM", forgetfulMaxTtl + 2_000);
}

/** By which a server is asked to shut down. PostgreSQL would wait for its clients to leave, at the usual one. */
function signalOf({ name }: Store): "SIGTERM" | "SIGINT" {
  return name === "PostgreSQL" ? "SIGINT" : "SIGTERM";
}

class SingleSite implements Site {
  readonly name: string;
  readonly url: string;
  readonly outages: readonly Outage[];
  readonly finale = null;
  readonly quietMs: number;
  readonly #server: Server;
  readonly #proxies: FaultProxy[] = [];

  constructor(
    name: string,
    { url, server }: { readonly url: string; readonly server: Server },
    goodbye: "SIGTERM" | "SIGINT",
    quietMs: number,
  ) {
    this.name = name;
    this.url = url;
    this.quietMs = quietMs;
    this.#server = server;
    const killed = restarting("killed", server, async () => server.kill());
    const shutDown = restarting("shut down", server, async () => server.kill(goodbye));
    const paused: Outage = {
      name: "paused",
      restarts: false,
      partial: false,
      strike: async () => server.pause(),
      mend: async () => server.unpause(),
    };
    const dyingInASilence = restarting("paused, then killed", server, async () => server.pause());
    this.outages = [...times(5, killed), ...times(2, shutDown), ...times(2, paused), dyingInASilence];
  }

  async link(): Promise<{ readonly url: string; readonly proxy: FaultProxy }> {
    const { port } = this.#server;
    const proxy = await openFaultProxy({ host: "127.0.0.1", port });
    this.#proxies.push(proxy);
    return { url: this.url.replace(`127.0.0.1:${port}`, `${proxy.host}:${proxy.port}`), proxy };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#proxies.map(async (proxy) => proxy.close()));
    await this.#server.stop();
  }
}

export function restarting(name: string, server: Server, strike: () => Promise<void>): Outage {
  return { name, restarts: true, partial: false, strike, mend: async () => server.restart() };
}

export function times<Item>(count: number, item: Item): Item[] {
  return Array.from({ length: count }, () => item);
}
