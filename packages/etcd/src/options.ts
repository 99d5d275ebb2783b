/** What `etcd()` takes, and the checks on it. */

import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { InvalidOptionError } from "@elect/core/adapter";
import { configurationOf } from "./client.ts";

export interface EtcdOptions {
  /**
   * The members of one cluster: `"10.0.0.1:2379"`, `"https://etcd-1:2379"`. One of them is used at a time, the next
   * one after a failure. The default port is 2379.
   * @default "127.0.0.1:2379"
   */
  readonly hosts?: string | readonly string[];
  /** The user, where the cluster has authentication enabled. */
  readonly username?: string;
  readonly password?: string;
  /** TLS: `true` trusts the authorities that Node trusts; certificates and keys are PEM. @default false */
  readonly tls?: boolean | EtcdTls;
  /** All keys of Elect begin with this and a slash. Candidates meet only within one namespace. @default "elect" */
  readonly namespace?: string;
  /**
   * An `Etcd3` client of yours, instead of `hosts`, `username`, `password` and `tls`: its configuration is copied
   * into clients of our own. Yours is never used, timed out or closed.
   */
  readonly client?: EtcdClient;
}

/** A client of the user's: an `Etcd3`. Its configuration is read, nothing else. */
export interface EtcdClient {
  close(): void;
  watch(): object;
}

export interface EtcdTls {
  /** The authority that signed the servers' certificates. */
  readonly ca?: string | Buffer;
  /** Our own certificate and its key, where the servers ask for one. */
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
}

export interface Certificates {
  readonly rootCertificate: Buffer;
  readonly privateKey?: Buffer;
  readonly certChain?: Buffer;
}

/** All that is needed to connect. */
export interface Settings {
  /** `host:port` of each member. */
  readonly hosts: readonly [string, ...string[]];
  readonly certificates: Certificates | null;
  readonly user: { readonly name: string; readonly password: string } | null;
  /** What the user's own client says about its channels. */
  readonly channel: Readonly<Record<string, string | number>>;
  readonly namespace: string;
  /** For messages: no credentials. */
  readonly address: string;
}

export function resolveOptions(options: EtcdOptions): Settings {
  const { client, namespace = "elect", ...own } = options;
  checkNamespace(namespace);
  if (client === undefined) return settings(own, {}, namespace);
  if (Object.values<unknown>(own).some((value) => value !== undefined)) {
    throw new InvalidOptionError(
      "client",
      "etcd(): give either `client` or hosts, username, password and tls, not both.",
    );
  }
  const { channel, ...copied } = configurationOf(client);
  return settings(copied, channel, namespace);
}

/** `etcd://user:password@host:2379,host:2379?namespace=…`; `etcds://…?ca=file&cert=file&key=file` for TLS. */
export function optionsOfUrl(url: string): EtcdOptions {
  const parts = /^(etcds?):\/\/(?:([^@/?#]*)@)?([^@/?#]+)\/?(?:\?([^#]*))?$/.exec(url);
  const [, scheme, login, authority, search = ""] = parts ?? [];
  if (authority === undefined) {
    throw new InvalidOptionError(
      "url",
      'An etcd URL looks like "etcd://host:2379,host:2379?namespace=elect" (or etcds://).',
    );
  }
  const query = new URLSearchParams(search);
  const file = (name: string): Buffer | undefined => {
    const path = query.get(name);
    return path === null ? undefined : readPem(name, path);
  };
  const known = scheme === "etcds" ? ["namespace", "ca", "cert", "key"] : ["namespace"];
  for (const name of query.keys()) {
    if (known.includes(name)) continue;
    throw new InvalidOptionError(
      "url",
      `The ${scheme}: URL has the unknown parameter "${name}"; known are ${known.join(", ")}.`,
    );
  }
  const [username, password] = (login ?? "").split(":", 2).map(decode);
  const namespace = query.get("namespace");
  return {
    hosts: authority.split(","),
    tls: scheme === "etcds" && present({ ca: file("ca"), cert: file("cert"), key: file("key") }),
    ...(username === undefined || username === "" ? {} : { username, password: password ?? "" }),
    ...(namespace === null ? {} : { namespace }),
  };
}

type Own = Omit<EtcdOptions, "client" | "namespace">;

function settings(own: Own, channel: Settings["channel"], namespace: string): Settings {
  const { hosts = "127.0.0.1:2379", tls = false, username, password } = own;
  const named = (typeof hosts === "string" ? hosts.split(",") : hosts).map((host) => host.trim());
  const [first, ...others] = named.map(hostAndPort);
  if (first === undefined) throw new InvalidOptionError("hosts", "etcd(): hosts names no member.");
  const secure = named.filter((host) => host.startsWith("https://")).length;
  if (secure > 0 && secure < named.length) {
    throw new InvalidOptionError("hosts", "etcd(): either all hosts are https:// or none is.");
  }
  if ((username === undefined) !== (password === undefined)) {
    throw new InvalidOptionError(
      "username",
      "etcd(): username and password are given together or not at all.",
    );
  }
  const encrypted = tls !== false || secure > 0;
  return {
    hosts: [first, ...others],
    certificates: encrypted ? certificates(tls === true || tls === false ? {} : tls) : null,
    user: username === undefined || password === undefined ? null : { name: username, password },
    channel,
    namespace,
    address: `${encrypted ? "etcds" : "etcd"}://${[first, ...others].join(",")}`,
  };
}

function hostAndPort(given: string): string {
  const [, host, port = "2379"] =
    /^(?:https?:\/\/)?(\[[0-9a-f:.]+\]|[^\s:/?#@[\]]+)(?::(\d{1,5}))?\/?$/i.exec(given) ?? [];
  if (host !== undefined && Number(port) > 0 && Number(port) < 65_536) return `${host}:${port}`;
  // What cannot be read may be a URL with a password in it.
  throw new InvalidOptionError(
    "hosts",
    'etcd(): a host is not of the form "host:port" or "https://host:port".',
  );
}

function certificates({ ca, cert, key }: EtcdTls): Certificates {
  if ((cert === undefined) !== (key === undefined)) {
    throw new InvalidOptionError("tls", "etcd(): tls.cert and tls.key are given together or not at all.");
  }
  return {
    rootCertificate: Buffer.from(ca ?? rootCertificates.join("\n")),
    ...(key === undefined ? {} : { privateKey: Buffer.from(key) }),
    ...(cert === undefined ? {} : { certChain: Buffer.from(cert) }),
  };
}

function checkNamespace(namespace: string): void {
  if (/^[\u0021-\u007e]{1,200}$/.test(namespace)) return;
  throw new InvalidOptionError(
    "namespace",
    "etcd(): namespace must be 1 to 200 printable ASCII characters without spaces.",
  );
}

function readPem(name: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new InvalidOptionError(
      "url",
      `The etcds: URL's ${name} names a file that cannot be read: ${path}`,
      { cause },
    );
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new InvalidOptionError("url", "The user or password in the etcd URL is not percent-encoded.", {
      cause,
    });
  }
}

function present<T extends object>(parts: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(parts).filter(([, part]) => part !== undefined)) as T;
}
