/**
 * The driver, `etcd3`: the few members that are used, and how a client of it is made. Only raw calls are: its own
 * `Lease`, `Election`, `Lock` and `Watcher` retry, reconnect and decide by themselves (decisions/0001).
 */

import { Etcd3 } from "etcd3";
import { InvalidOptionError } from "@elect/core/adapter";
import type { Certificates, EtcdClient, EtcdOptions, Settings } from "./options.ts";

export interface Header {
  readonly cluster_id: string;
  readonly revision: string;
  readonly raft_term: string;
}

/** All 64-bit numbers are strings: they are revisions, which become bigints, and identities. */
export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly lease: string;
}

export interface Compare {
  readonly key: Buffer;
  readonly range_end?: Buffer;
  readonly target: "Create" | "Lease" | "Mod" | "Value";
  readonly result: "Equal" | "Greater" | "Less";
  readonly create_revision?: string;
  readonly mod_revision?: string;
  readonly lease?: string;
  readonly value?: Buffer;
}

export interface Operation {
  readonly request_range?: {
    readonly key: Buffer;
    readonly range_end?: Buffer;
    readonly limit?: number;
    readonly sort_order?: "Ascend" | "Descend";
    readonly sort_target?: "Create";
    readonly keys_only?: boolean;
    readonly max_create_revision?: string;
  };
  readonly request_put?: {
    readonly key: Buffer;
    readonly value: Buffer;
    readonly lease?: string;
    readonly ignore_lease?: boolean;
  };
  readonly request_delete_range?: { readonly key: Buffer };
  readonly request_txn?: Transaction;
}

export interface Transaction {
  readonly compare?: Compare[];
  readonly success: Operation[];
  readonly failure?: Operation[];
}

/** The answer to one operation: exactly one of these. */
export interface Answer {
  readonly response_range?: { readonly kvs: readonly KeyValue[] } | null;
  readonly response_txn?: Outcome | null;
}

export interface Outcome {
  readonly succeeded: boolean;
  readonly responses: readonly Answer[];
}

export interface Committed extends Outcome {
  readonly header: Header;
}

export interface Status {
  readonly header: Header;
  readonly version: string;
  readonly leader: string;
  readonly isLearner: boolean;
  readonly errors: readonly string[];
}

export interface WatchRequest {
  readonly create_request?: {
    readonly key: Buffer;
    readonly watch_id: string;
    readonly start_revision?: string;
    readonly filters?: "Noput"[];
  };
  readonly cancel_request?: { readonly watch_id: string };
}

export interface WatchAnswer {
  readonly watch_id: string;
  readonly created: boolean;
  readonly canceled: boolean;
  /** Not "0": the history that was asked for is compacted away from before this revision on. */
  readonly compact_revision: string;
  readonly events: readonly { readonly type: "Put" | "Delete"; readonly kv: KeyValue }[];
}

export interface KeepAliveAnswer {
  readonly header: Header;
  /** Seconds; 0 for a lease that is not there. */
  readonly TTL: string;
}

/** A gRPC stream in both directions. */
export interface Stream<Request, Reply> {
  write(request: Request): unknown;
  end(): unknown;
  on(event: "data", heard: (reply: Reply) => void): unknown;
  on(event: "end", heard: () => void): unknown;
  on(event: "error", heard: (error: Error) => void): unknown;
}

export interface Driver {
  readonly kv: { txn(transaction: Transaction, options: CallOptions): Promise<Committed> };
  readonly leaseClient: {
    leaseGrant(
      request: { TTL: number },
      options: CallOptions,
    ): Promise<{ header: Header; ID: string; TTL: string }>;
    leaseRevoke(request: { ID: string }, options: CallOptions): Promise<{ header: Header }>;
    leaseKeepAlive(options: CallOptions): Promise<Stream<{ ID: string }, KeepAliveAnswer>>;
  };
  readonly watchClient: { watch(options: CallOptions): Promise<Stream<WatchRequest, WatchAnswer>> };
  readonly maintenance: { status(options: CallOptions): Promise<Status> };
  readonly auth: {
    authenticate(login: { name: string; password: string }, options: CallOptions): Promise<{ token: string }>;
  };
  close(): void;
}

/** The options of a gRPC call, and what stands between the driver and the wire. */
export type CallOptions = NonNullable<Parameters<Etcd3["kv"]["txn"]>[1]>;
export type Interceptor = NonNullable<CallOptions["interceptors"]>[number];
export type GrpcCall = ReturnType<Parameters<Interceptor>[1]>;

/** The driver's retries and circuit breakers, switched off: it repeats transactions whose reply was lost. */
const onceOnly = {
  get _altReturn(): never {
    throw new Error("a type, not a value");
  },
  onSuccess: () => ({ dispose() {} }),
  onFailure: () => ({ dispose() {} }),
  async execute<T>(work: (context: { signal: AbortSignal }) => PromiseLike<T> | T): Promise<T> {
    return work({ signal: new AbortController().signal });
  },
};

let connections = 0;

/** A client with one connection, to one member, which it shares with no other client in the process. */
export function createDriver(host: string, { certificates, channel }: Settings): Driver {
  return new Etcd3({
    hosts: `${certificates === null ? "http" : "https"}://${host}`,
    ...(certificates === null ? {} : { credentials: certificates }),
    faultHandling: { global: onceOnly, host: () => onceOnly },
    grpcOptions: {
      "grpc.max_receive_message_length": -1,
      "grpc.service_config_disable_resolution": 1,
      ...channel,
      "grpc.enable_retries": 0,
      // grpc-js shares connections between channels whose options are the same, in the whole process.
      "elect.connection": ++connections,
    },
  });
}

/** What a client of the user's was made with. */
export function configurationOf(
  client: EtcdClient,
): Omit<EtcdOptions, "client" | "namespace"> & { channel: Settings["channel"] } {
  const options = "options" in client ? client.options : undefined;
  if (!isConfiguration(options)) {
    throw new InvalidOptionError("client", "etcd(): client is not an Etcd3 of the package etcd3.");
  }
  const { hosts, credentials, auth, grpcOptions = {} } = options;
  return {
    hosts,
    ...(credentials === undefined ? {} : { tls: tlsOf(credentials) }),
    ...(auth === undefined ? {} : { username: auth.username, password: auth.password }),
    channel: grpcOptions,
  };
}

interface Configuration {
  readonly hosts: string | readonly string[];
  readonly credentials?: Certificates;
  readonly auth?: { readonly username: string; readonly password: string };
  readonly grpcOptions?: Settings["channel"];
}

function isConfiguration(options: unknown): options is Configuration {
  return typeof options === "object" && options !== null && "hosts" in options;
}

function tlsOf({ rootCertificate, certChain, privateKey }: Certificates) {
  return {
    ca: rootCertificate,
    ...(certChain === undefined ? {} : { cert: certChain }),
    ...(privateKey === undefined ? {} : { key: privateKey }),
  };
}
