/** A candidate's way to the store, with a fault proxy in front of each endpoint. */

import { openFaultProxy, type FaultProxy, type Observer, type Trigger } from "../fault-proxy.ts";
import type { Direction, Slowness } from "../fault-pipe.ts";
import type { Fault, Passing, ProxiedConnection } from "../proxied-connection.ts";
import type { FaultTarget } from "./fault-target.ts";

export async function openLink(target: FaultTarget): Promise<Link> {
  const proxies = await Promise.all(target.endpoints.map(openFaultProxy));
  return new Link(target.urlThrough(proxies), proxies);
}

export class Link {
  /** The store through the proxies. */
  readonly url: string;
  readonly #proxies: readonly FaultProxy[];

  constructor(url: string, proxies: readonly FaultProxy[]) {
    this.url = url;
    this.#proxies = proxies;
  }

  get connections(): readonly ProxiedConnection[] {
    return this.#proxies.flatMap((proxy) => proxy.connections);
  }

  silence(direction?: Direction): void {
    for (const proxy of this.#proxies) proxy.silence(direction);
  }

  slow(slowness: Slowness, direction?: Direction): void {
    for (const proxy of this.#proxies) proxy.slow(slowness, direction);
  }

  refuse(): void {
    for (const proxy of this.#proxies) proxy.refuse();
  }

  reset(): void {
    for (const proxy of this.#proxies) proxy.reset();
  }

  heal(): void {
    for (const proxy of this.#proxies) proxy.heal();
  }

  observe(observer: Observer): () => void {
    const off = this.#proxies.map((proxy) => proxy.observe(observer));
    return () => off.forEach((take) => take());
  }

  /** Does `fault` to the first chunk that matches, at whichever endpoint it passes. */
  once(matches: (passing: Passing) => boolean, fault: Fault): Trigger {
    const triggers = this.#proxies.map((proxy) => proxy.once(matches, fault));
    const disarm = (): void => triggers.forEach((trigger) => trigger.disarm());
    return {
      seen: Promise.race(triggers.map(({ seen }) => seen)).finally(disarm),
      get hit() {
        return triggers.find(({ hit }) => hit !== null)?.hit ?? null;
      },
      disarm,
    };
  }

  /** How many chunks the client sends while `during` lasts; only those with these bytes, if given. */
  async count(during: Promise<unknown>, bytes?: string): Promise<number> {
    let chunks = 0;
    const off = this.observe((passing) => {
      if (passing.direction === "up" && (bytes === undefined || passing.bytes.includes(bytes))) chunks += 1;
    });
    await during;
    off();
    return chunks;
  }

  async close(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
  }
}

/** Matches the `n`-th chunk that the client sends with these bytes in it: a request about that election. */
export function nthRequest(n: number, about?: string): (passing: Passing) => boolean {
  let seen = 0;
  return ({ direction, bytes }) => {
    if (direction !== "up" || (about !== undefined && !bytes.includes(about))) return false;
    seen += 1;
    return seen === n;
  };
}
