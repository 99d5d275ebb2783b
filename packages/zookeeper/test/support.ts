/** What the tests of this package share: a server, a namespace of their own, calls, and a second pair of eyes. */

import { randomBytes } from "node:crypto";
import type { Adapter, ClaimAnswer, ClaimRequest, Session } from "@elect/core/adapter";
import { openFaultProxy, type FaultProxy } from "@elect/testing";
import * as zookeeper from "node-zookeeper-client";
import { afterAll, onTestFinished } from "vitest";
import { startZookeeper } from "../../../integration/servers/src/index.ts";
import { ZooKeeperAdapter } from "../src/adapter.ts";
import { Link, type LinkEvents } from "../src/client.ts";
import { resolveOptions, type ZooKeeperOptions } from "../src/options.ts";
import { Paths } from "../src/paths.ts";
import type { Wire } from "../src/wire.ts";
import { call, Heard, nonce } from "../../../integration/servers/src/port-calls.ts";

export { call, Heard, nonce };

const server = await startZookeeper();
afterAll(async () => server.stop());

export const url: string = server.url;
export const hosts: string = url.replace("zookeeper://", "").replace(/[/?].*$/, "");
export const target: { readonly host: string; readonly port: number } = {
  host: hosts.split(",")[0]!.split(":")[0]!,
  port: Number(hosts.split(",")[0]!.split(":")[1] ?? 2181),
};

export const namespace = (): string => `elect-test-${randomBytes(6).toString("hex")}`;

/** A way to the server that fails on command. */
export async function proxied(): Promise<{ readonly proxy: FaultProxy; readonly url: string }> {
  const proxy = await openFaultProxy(target);
  onTestFinished(async () => proxy.close());
  return { proxy, url: `zookeeper://127.0.0.1:${proxy.port}` };
}

export interface Opened {
  readonly session: Session;
  readonly heard: Heard;
  readonly adapter: Adapter;
  /** The session's own nonce. */
  readonly nonce: string;
}

export interface Store {
  readonly namespace: string;
  readonly paths: Paths;
  adapter(options?: Partial<ZooKeeperOptions>): Adapter;
  open(options?: Partial<ZooKeeperOptions> & { ttlMs?: number }): Promise<Opened>;
  /** An operator's connection. */
  operator(): Promise<Wire>;
}

/** A namespace of the test's own; sessions, connections and nodes are gone when it is over. */
export function store(): Store {
  const name = namespace();
  const paths = new Paths("", name);
  const adapters: Adapter[] = [];
  const sessions: Session[] = [];
  const links: Link[] = [];
  const makeAdapter = (options: Partial<ZooKeeperOptions> = {}): Adapter => {
    const where = options.client === undefined ? { url: options.url ?? url } : {};
    const adapter = new ZooKeeperAdapter(resolveOptions({ namespace: name, ...where, ...options }));
    adapters.push(adapter);
    return adapter;
  };
  onTestFinished(async () => {
    for (const session of sessions) await session.end(call(1_000)).catch(() => session.abandon());
    for (const adapter of adapters) await adapter.close(call(1_000)).catch(() => {});
    for (const link of links) await link.closeSession(call(1_000)).catch(() => link.abandon());
    await removeAll(paths.base);
  });
  return {
    namespace: name,
    paths,
    adapter: makeAdapter,
    async open({ ttlMs = 5_000, ...options } = {}) {
      const adapter = makeAdapter(options);
      const heard = new Heard();
      const own = nonce();
      const session = await adapter.open({ ttlMs, nonce: own, events: heard }, call());
      sessions.push(session);
      return { session, heard, adapter, nonce: own };
    },
    async operator() {
      const link = makeLink();
      links.push(link);
      return link.during(call(), async () => link.wire());
    },
  };
}

const silent: LinkEvents = { connected() {}, disconnected() {}, ended() {} };

export function makeLink(
  options: ZooKeeperOptions | string = url,
  events: LinkEvents = silent,
  ttlMs = 10_000,
): Link {
  return new Link(resolveOptions(options), ttlMs, events);
}

async function removeAll(base: string): Promise<void> {
  const link = makeLink();
  const remove = async (wire: Wire, path: string): Promise<void> => {
    for (const child of (await wire.children(path)) ?? []) await remove(wire, `${path}/${child}`);
    await wire.remove(path);
  };
  await link.during(call(), (wire) => remove(wire, base));
  await link.closeSession(call());
}

export function bid(election: string, own: string = nonce(), id = "candidate"): ClaimRequest {
  return { election, nonce: own, candidate: { id, metadata: `{"of":"${id}"}` }, unchanged: null };
}

/** Claims one election and says what came of it. */
export async function claim(session: Session, request: ClaimRequest): Promise<ClaimAnswer> {
  const [answer] = await session.claim([request], call());
  return answer!;
}

export async function granted(session: Session, request: ClaimRequest): Promise<bigint> {
  const answer = await claim(session, request);
  if (answer.kind !== "granted") throw new Error(`not granted: ${JSON.stringify(answer)}`);
  return answer.token;
}

export { zookeeper };
