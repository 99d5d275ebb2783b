/** What the factory takes, and what it comes to: servers, paths, credentials. */

import { InvalidOptionError } from "@elect/core/adapter";
import { driver, type Acl } from "./driver.ts";

export interface ZooKeeperOptions {
  /** `zookeeper://[user:password@]host[:port][,host[:port]…][/chroot][?namespace=…&acl=…]`. */
  readonly url?: string;
  /**
   * A `node-zookeeper-client` client of yours, instead of a URL: its servers, chroot and credentials are taken over.
   * The client itself is never used, and never closed.
   */
  readonly client?: ZooKeeperClient;
  /** The node under the chroot that holds everything; one segment. @default "elect" */
  readonly namespace?: string;
  /** Credentials, added to those of the URL or the client. They travel in clear text: ZooKeeper's digest does so. */
  readonly auth?: Credentials;
  /**
   * Who may touch the nodes: `"open"` (anyone), `"creator"` (those with the same credentials), or a list. All
   * candidates and observers must be able to read, and all candidates to create, write and delete.
   * @default "creator" with credentials, else "open"
   */
  readonly acl?: "open" | "creator" | readonly AclEntry[];
}

/** What is read of a client of yours; every `node-zookeeper-client` client has it. */
export interface ZooKeeperClient {
  getSessionTimeout(): number;
}

export interface Credentials {
  /** @default "digest" */
  readonly scheme?: string;
  /** For digest: `user:password`. */
  readonly value: string;
}

export interface AclEntry {
  /** `"world"`, `"digest"`, `"ip"`, `"auth"`… */
  readonly scheme: string;
  /** `"anyone"`, `"user:base64(sha1(user:password))"`, `"10.0.0.0/8"`… */
  readonly id: string;
  /** Of `c`reate, `d`elete, `r`ead, `w`rite, `a`dmin: `"cdrwa"`. */
  readonly permissions: string;
}

/** The options, resolved. */
export interface Target {
  /** For messages: without credentials. */
  readonly address: string;
  /** As the driver takes them. */
  readonly servers: string;
  readonly chroot: string;
  readonly namespace: string;
  readonly auth: readonly Credential[];
  readonly acls: readonly Acl[];
}

interface Credential {
  readonly scheme: string;
  readonly value: Buffer;
}

/** Where the store is, as a URL or a client says it. */
interface Source {
  readonly servers: readonly string[];
  readonly chroot: string;
  readonly auth: readonly Credential[];
  readonly query: Query;
}

export function resolveOptions(input: ZooKeeperOptions | string): Target {
  const { url, client, auth, ...named } = typeof input === "string" ? { url: input } : input;
  const source = sourceOf(url, client);
  const { namespace = "elect", acl } = { ...source.query, ...named };
  checkSegment(namespace);
  const credentials = auth === undefined ? source.auth : [...source.auth, credential(auth)];
  return {
    address: `zookeeper://${source.servers.join(",")}${source.chroot}`,
    servers: source.servers.join(","),
    chroot: source.chroot,
    namespace,
    auth: credentials,
    acls: resolveAcl(acl ?? (credentials.length > 0 ? "creator" : "open")),
  };
}

function sourceOf(url: string | undefined, client: ZooKeeperClient | undefined): Source {
  if (url !== undefined && client === undefined) return parseUrl(url);
  if (client !== undefined && url === undefined) return readClient(client);
  throw new InvalidOptionError("url", `Give zookeeper() either a "url" or a "client".`);
}

function credential({ scheme = "digest", value }: Credentials): Credential {
  return { scheme, value: Buffer.from(value) };
}

interface Query {
  readonly namespace?: string;
  readonly acl?: "open" | "creator";
}

/** `new URL()` takes one host only. */
function parseUrl(url: string): Source {
  const [, userinfo, hosts, path = "", search = ""] =
    /^zookeeper:\/\/(?:([^@/?]*)@)?([^/?@]+)(\/[^?]*)?(?:\?(.*))?$/.exec(url) ?? [];
  if (hosts === undefined) {
    const shape = "zookeeper://[user:password@]host[:port],host[:port]…[/chroot][?namespace=…]";
    throw new InvalidOptionError("url", `The URL is not of the form ${shape}.`);
  }
  const chroot = decode(path).replace(/\/+$/, "");
  for (const segment of chroot.split("/").slice(1)) checkSegment(segment, "chroot");
  const auth = userinfo === undefined ? [] : [credential({ value: decode(userinfo) })];
  const servers = hosts.split(",").filter((server) => server !== "");
  for (const server of servers) checkServer(server);
  return { servers, chroot, auth, query: parseQuery(search) };
}

function parseQuery(search: string): Query {
  const query: { namespace?: string; acl?: "open" | "creator" } = {};
  for (const [name, value] of new URLSearchParams(search)) {
    if (name === "namespace") query.namespace = value;
    else if (name === "acl" && (value === "open" || value === "creator")) query.acl = value;
    else if (name === "acl")
      throw new InvalidOptionError("acl", `The URL's acl is "${value}"; it may be open or creator.`);
    else
      throw new InvalidOptionError(name, `The URL has a parameter "${name}"; there are namespace and acl.`);
  }
  return query;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new InvalidOptionError(
      "url",
      "The URL has a % that is not the beginning of an escaped character.",
      { cause },
    );
  }
}

/** The driver keeps what it was made with; it has no public way to ask for it. */
function readClient(client: ZooKeeperClient): Source {
  const { connectionManager } = client as { connectionManager?: Inside };
  const servers = connectionManager?.servers;
  if (servers === undefined || servers.length === 0) {
    throw new InvalidOptionError("client", "The client is not one of node-zookeeper-client's.");
  }
  const credentials = connectionManager?.credentials ?? [];
  return {
    servers: servers.map(({ host, port }) => `${host}:${port}`),
    chroot: connectionManager?.chrootPath ?? "",
    auth: credentials.map(({ scheme, auth }) => ({ scheme, value: auth })),
    query: {},
  };
}

interface Inside {
  readonly servers?: readonly { readonly host: string; readonly port: number | string }[];
  readonly chrootPath?: string;
  readonly credentials?: readonly { readonly scheme: string; readonly auth: Buffer }[];
}

function checkServer(server: string): void {
  const [, host, port = "2181"] = /^([^:[\]\s]+)(?::(\d{1,5}))?$/.exec(server) ?? [];
  if (host !== undefined && Number(port) > 0 && Number(port) < 65_536) return;
  throw new InvalidOptionError(
    "url",
    `"${server}" is not host or host:port. The driver takes no IPv6 literals: give those a name.`,
  );
}

/** What ZooKeeper allows as one segment of a path. */
function checkSegment(segment: string, option = "namespace"): void {
  // oxlint-disable-next-line no-control-regex -- finding them is the point
  if (segment !== "" && !/^\.{1,2}$|[/\u0000-\u001f\u007f-\u009f\ud800-\uf8ff\ufff0-\uffff]/.test(segment))
    return;
  throw new InvalidOptionError(
    option,
    `The ${option} has the segment "${segment}", which ZooKeeper does not take as a node's name.`,
  );
}

const permissionBits: Readonly<Record<string, number>> = { r: 1, w: 2, c: 4, d: 8, a: 16 };
const all = 31;

function resolveAcl(acl: "open" | "creator" | readonly AclEntry[]): readonly Acl[] {
  if (acl === "open") return [new driver.ACL(all, new driver.Id("world", "anyone"))];
  if (acl === "creator") return [new driver.ACL(all, new driver.Id("auth", ""))];
  if (acl.length === 0) throw new InvalidOptionError("acl", "An ACL without entries locks everybody out.");
  return acl.map(({ scheme, id, permissions }) => {
    let bits = 0;
    for (const letter of permissions) {
      const bit = permissionBits[letter];
      if (bit === undefined) {
        throw new InvalidOptionError(
          "acl",
          `The ACL's permissions are "${permissions}"; they may be of c, d, r, w, a.`,
        );
      }
      bits |= bit;
    }
    if (bits === 0) throw new InvalidOptionError("acl", `The ACL's entry for "${scheme}" permits nothing.`);
    return new driver.ACL(bits, new driver.Id(scheme, id));
  });
}
