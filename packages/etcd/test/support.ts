/** What the tests of this package share: a server, a namespace of their own, calls, and a second pair of eyes. */

import { randomBytes } from "node:crypto";
import type { Call, Claim, ClaimAnswer, ClaimRequest, Session } from "@elect/core/adapter";
import { openFaultProxy, type FaultProxy } from "@elect/testing";
import { Etcd3, type IKeyValue, type IOptions } from "etcd3";
import { onTestFinished } from "vitest";
import { EtcdAdapter } from "../src/adapter.ts";
import { Keys } from "../src/keys.ts";
import { resolveOptions, type EtcdOptions } from "../src/options.ts";
import type { Footing } from "../src/transactions.ts";
import { etcdAnswers } from "../../../integration/servers/src/answers.ts";
import { startEtcd, type Server } from "../../../integration/servers/src/index.ts";
import { freePorts } from "../../../integration/servers/src/ports.ts";
import { startServer } from "../../../integration/servers/src/start.ts";
import { call, eventually, Heard, nonce } from "../../../integration/servers/src/port-calls.ts";

export { call, eventually, Heard, nonce };

const server = await startEtcd();

/** Where the server that all tests share is. */
export const url: string = server.url;
export const target = { host: "127.0.0.1", port: server.port };

/** A call that is given up by hand. */
export function callUntil(signal: AbortSignal): Call {
  return { signal, timeoutMs: 5_000 };
}

export async function proxyTo(where: { host: string; port: number } = target): Promise<FaultProxy> {
  const proxy = await openFaultProxy(where);
  onTestFinished(() => proxy.close());
  return proxy;
}

/** The plain driver, to look and to meddle. */
export function plain(port: number = target.port, options: Partial<IOptions> = {}): Etcd3 {
  const client = new Etcd3({ hosts: `127.0.0.1:${port}`, ...options });
  onTestFinished(() => client.close());
  return client;
}

export interface Process {
  readonly adapter: EtcdAdapter;
  readonly session: Session;
  readonly heard: Heard;
  /** The session's own nonce. */
  readonly nonce: string;
  claim(request: ClaimRequest, timeoutMs?: number): Promise<ClaimAnswer>;
  prove(...held: Claim[]): ReturnType<Session["prove"]>;
}

/** A namespace of the test's own, and processes that elect in it. */
export interface Store {
  readonly namespace: string;
  readonly keys: Keys;
  readonly etcd: Etcd3;
  adapter(options?: EtcdOptions): EtcdAdapter;
  /** By default with a TTL that outlives the test on a busy machine: nobody proves unasked here. */
  process(options?: EtcdOptions & { ttlMs?: number; nonce?: string }): Promise<Process>;
  /** All that is left of an election. */
  kept(election: string): Promise<IKeyValue[]>;
  /** All that is in the namespace. */
  everything(): Promise<IKeyValue[]>;
}

export function store(
  hosts: string | string[] = `127.0.0.1:${target.port}`,
  operator: Partial<IOptions> = {},
): Store {
  const namespace = `elect-test-${randomBytes(6).toString("hex")}`;
  const etcd = new Etcd3({ hosts, ...operator });
  const adapter = (options: EtcdOptions = {}): EtcdAdapter => {
    const made = new EtcdAdapter(
      resolveOptions({ ...(options.client ? {} : { hosts }), namespace, ...options }),
    );
    onTestFinished(() => made.close());
    return made;
  };
  onTestFinished(async () => {
    await etcd.delete().prefix(namespace);
    etcd.close();
  });
  return {
    namespace,
    keys: new Keys(namespace),
    etcd,
    adapter,
    async process({ ttlMs = 30_000, nonce: own = nonce(), ...options } = {}) {
      const made = adapter(options);
      const heard = new Heard();
      const session = await made.open({ ttlMs, nonce: own, events: heard }, call());
      onTestFinished(async () => session.end(call(1_000)).catch(() => {}));
      return {
        ...{ adapter: made, session, heard, nonce: own },
        claim: async (request, timeoutMs) => (await session.claim([request], call(timeoutMs)))[0]!,
        prove: async (...held) => session.prove(new Map(held.map((claim) => [claim.nonce, claim])), call()),
      };
    },
    everything: async () => (await etcd.getAll().prefix(`${namespace}/`).exec()).kvs,
    kept: async (election) => (await etcd.getAll().prefix(`${namespace}/elections/${election}/`).exec()).kvs,
  };
}

export function bid(election: string, own: string = nonce(), id = "candidate"): ClaimRequest {
  return { election, nonce: own, candidate: { id, metadata: `{"of":"${id}"}` }, unchanged: null };
}

export function tokenOf(answer: ClaimAnswer | undefined): bigint {
  if (answer?.kind === "granted") return answer.token;
  throw new Error(
    `not granted: ${answer?.kind}${answer?.kind === "unknown" ? ` (${String(answer.cause)})` : ""}`,
  );
}

export function leaseOf({ session }: Process): string {
  const { lease } = JSON.parse(session.ticket) as { lease: string };
  return lease;
}

/** A session as the adapter's transactions see it, for copies of them. */
export async function footingOf({ etcd, keys }: Store, process: Process): Promise<Footing> {
  const key = keys.session(process.nonce);
  const { kvs } = await etcd.get(key).exec();
  return { key, lease: leaseOf(process), born: kvs[0]!.create_revision };
}

export interface Own {
  readonly server: Server;
  readonly hosts: string;
  readonly client: Etcd3;
}

/** A server that may be killed, restarted and paused, whatever the environment points to. */
export async function ownServer(
  args: readonly string[] = [],
  files: Record<string, string> = {},
): Promise<Own> {
  const [port = 0] = await freePorts(1);
  const secure = args.some((argument) => argument.startsWith("--cert-file"));
  const server = await startServer({
    kind: "etcd",
    command: [
      "etcd",
      "--data-dir=/var/lib/etcd/elect",
      `--listen-client-urls=${secure ? "https" : "http"}://0.0.0.0:2379`,
      `--advertise-client-urls=${secure ? "https" : "http"}://127.0.0.1:${port}`,
      ...(secure ? ["--listen-client-http-urls=http://0.0.0.0:2390"] : []),
      ...["--log-level=warn", "--unsafe-no-fsync", ...args],
    ],
    files,
    listens: 2379,
    port,
    url: `etcd://127.0.0.1:${port}`,
    answers: secure ? async () => true : etcdAnswers,
  });
  onTestFinished(() => server.stop());
  return { server, hosts: `127.0.0.1:${port}`, client: plain(port) };
}

/** For what cannot be awaited. */
export async function pass(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
