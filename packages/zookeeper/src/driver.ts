/**
 * The members of `node-zookeeper-client` that this package uses, and nothing else of it: the driver's types
 * appear in no public signature.
 */

import * as zookeeper from "node-zookeeper-client";

export interface Stat {
  readonly czxid: Buffer;
  readonly ctime: Buffer;
  readonly version: number;
  readonly ephemeralOwner: Buffer;
  readonly numChildren: number;
}

/** Errors are `Exception`s with a numeric code, or whatever an `assert` in the driver throws. */
export type Done<Values extends unknown[] = []> = (error: Error | null, ...values: Values) => void;

export interface WatchEvent {
  readonly type: number;
  readonly path: string;
}

export type Watcher = (event: WatchEvent) => void;

/** An access control entry; made by {@link driver.ACL}. */
export interface Acl {
  toRecord(): unknown;
}

/** One operation's answer within a multi. */
export interface MultiResult {
  readonly type: number;
  readonly path?: string;
  readonly err?: number;
  readonly stat?: Stat;
}

export interface DriverTransaction {
  create(path: string, data: Buffer, acls: readonly Acl[], mode: number): unknown;
  /** Careful: the driver reads version 0 as "any". */
  check(path: string, version: number): unknown;
  setData(path: string, data: Buffer, version: number): unknown;
  remove(path: string, version: number): unknown;
  commit(done: (error: Error | null, results?: readonly MultiResult[]) => void): void;
}

export interface DriverClient {
  connect(): void;
  addAuthInfo(scheme: string, auth: Buffer): void;
  getSessionId(): Buffer;
  getSessionPassword(): Buffer;
  getSessionTimeout(): number;
  on(event: "connected" | "expired" | "authenticationFailed", listener: () => void): unknown;
  create(path: string, data: Buffer, acls: readonly Acl[], mode: number, done: Done<[path: string]>): void;
  remove(path: string, version: number, done: Done): void;
  setData(path: string, data: Buffer, version: number, done: Done<[stat: Stat]>): void;
  getData(path: string, done: Done<[data: Buffer | undefined, stat: Stat]>): void;
  getData(path: string, watcher: Watcher, done: Done<[data: Buffer | undefined, stat: Stat]>): void;
  exists(path: string, watcher: Watcher, done: Done<[stat: Stat | null]>): void;
  getChildren(path: string, done: Done<[children: string[]]>): void;
  transaction(): DriverTransaction;
}

export interface DriverOptions {
  readonly sessionTimeout: number;
  readonly retries: 0;
  /** To go on with, or to take over, a session that exists. */
  readonly sessionId?: Buffer;
  readonly sessionPassword?: Buffer;
}

interface Driver {
  createClient(servers: string, options: DriverOptions): DriverClient;
  readonly ACL: new (permission: number, id: object) => Acl;
  readonly Id: new (scheme: string, id: string) => object;
}

// The published types (DefinitelyTyped 1.1.0) leave `toRecord` and the session options out; both are in the driver.
export const driver: Driver = zookeeper as object as Driver;

/** Which sort of node `create` makes. */
export const mode = { persistent: 0, ephemeral: 1, ephemeralSequential: 3 } as const;

/** The only event that tells us something by itself: any other says "look again". */
export const nodeDeleted = 2;
