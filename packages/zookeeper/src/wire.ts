/** The operations of one connection, as promises. A wire ends with its connection or its call and is never mended. */

import { type Acl, type Done, type DriverClient, type mode, type MultiResult, type Stat } from "./driver.ts";
import { code, codeOf, LinkError, refusalOf, SessionOver } from "./errors.ts";
import type { Node } from "./paths.ts";
import type { Changed, Watches } from "./watches.ts";

export type Operation =
  | { readonly kind: "check"; readonly path: string; readonly version: number }
  | { readonly kind: "create"; readonly path: string; readonly data: Buffer; readonly mode: Mode }
  | { readonly kind: "set"; readonly path: string; readonly data: Buffer }
  | { readonly kind: "remove"; readonly path: string };

export type Mode = (typeof mode)[keyof typeof mode];

/** Any version will do. (The driver also reads 0 in this way, so a version that is checked must be 1 or more.) */
export const anyVersion = -1;

/** A multi is one transaction: all of it was done, or the operation at `failed` kept all of it from being done. */
export type MultiOutcome =
  | { readonly done: true; readonly results: readonly MultiResult[] }
  | { readonly done: false; readonly failed: number; readonly code: number };

/** What a wire needs of the link that it is a part of. */
export interface WireHost {
  readonly client: DriverClient;
  readonly acls: readonly Acl[];
  readonly address: string;
  /** Called before a request is written. */
  cork(): void;
  /** Called when the server has answered, whatever it said. */
  answered(): void;
  readonly watches: Watches;
}

export class Wire {
  readonly #host: WireHost;
  /** Why nothing more may be sent here; `null`: something may. */
  #ended: Error | null = null;

  constructor(host: WireHost) {
    this.#host = host;
  }

  get open(): boolean {
    return this.#ended === null;
  }

  end(cause: Error): void {
    this.#ended ??= cause;
  }

  /** Whether this function will be told of the node's next change. */
  watches(path: string, changed: Changed): boolean {
    return this.open && this.#host.watches.has(path, changed);
  }

  /** The created node's path; `null`: its parent is missing. Throws what `tolerated` does not name. */
  async create(
    path: string,
    data: Buffer,
    kind: Mode,
    tolerated: number = code.noNode,
  ): Promise<string | null> {
    const { client, acls } = this.#host;
    const [created] = await this.#ask<[string]>(path, (done) => client.create(path, data, acls, kind, done), [
      tolerated,
    ]);
    return created ?? null;
  }

  /** Whether it was there and could go. */
  async remove(path: string): Promise<boolean> {
    const tolerated = [code.noNode, code.notEmpty];
    let removed = true;
    await this.#ask(
      path,
      (done) => this.#host.client.remove(path, anyVersion, done),
      tolerated,
      () => {
        removed = false;
      },
    );
    return removed;
  }

  /** `null`: there is no such node. */
  async setData(path: string, data: Buffer): Promise<Stat | null> {
    const { client } = this.#host;
    const [stat] = await this.#ask<[Stat]>(path, (done) => client.setData(path, data, anyVersion, done), [
      code.noNode,
    ]);
    return stat ?? null;
  }

  /** `null`: there is no such node, and then no watch on it either. */
  async read(path: string, changed?: Changed): Promise<Node | null> {
    const { client, watches } = this.#host;
    const [data, stat] = await this.#ask<[Buffer | undefined, Stat]>(
      path,
      (done) => {
        if (changed === undefined) client.getData(path, done);
        else
          client.getData(path, watches.fire, (error, ...values) => {
            if (error === null) watches.add(path, changed);
            done(error, ...values);
          });
      },
      [code.noNode],
    );
    return stat === undefined ? null : { data, stat };
  }

  /** Watches the path whether or not there is a node: also for its creation. */
  async watch(path: string, changed: Changed): Promise<void> {
    const { client, watches } = this.#host;
    await this.#ask(path, (done) =>
      client.exists(path, watches.fire, (error) => {
        if (error === null) watches.add(path, changed);
        done(error);
      }),
    );
  }

  /** `null`: there is no such node. */
  async children(path: string): Promise<readonly string[] | null> {
    const [children] = await this.#ask<[string[]]>(
      path,
      (done) => this.#host.client.getChildren(path, done),
      [code.noNode],
    );
    return children ?? null;
  }

  async multi(operations: readonly Operation[]): Promise<MultiOutcome> {
    const { client, acls, address } = this.#host;
    const transaction = client.transaction();
    for (const operation of operations) {
      const { kind, path } = operation;
      if (kind === "check") transaction.check(path, operation.version);
      else if (kind === "create") transaction.create(path, operation.data, acls, operation.mode);
      else if (kind === "set") transaction.setData(path, operation.data, anyVersion);
      else transaction.remove(path, anyVersion);
    }
    const [outcome] = await this.#ask<[MultiOutcome]>(operations[0]?.path ?? "/", (done) =>
      transaction.commit((error, results = []) => {
        // Those before the culprit carry error 0, those after it -2.
        const failed = results.findIndex(({ err }) => err !== undefined && err !== 0);
        const culprit = results[failed]?.err;
        if (culprit === undefined) return done(error, { done: true, results });
        done(refusalOf(culprit, operations[failed]?.path ?? "/", address), {
          done: false,
          failed,
          code: culprit,
        });
      }),
    );
    return outcome ?? { done: true, results: [] };
  }

  /**
   * Makes what is read next on this wire at least as new as this moment: a write, even one that fails, is
   * answered by the leader of the ensemble, and a server answers one session's requests in their order.
   */
  async sync(path: string): Promise<void> {
    await this.multi([{ kind: "check", path, version: anyVersion }]);
  }

  async #ask<Values extends unknown[] = []>(
    path: string,
    send: (done: Done<Values>) => void,
    tolerated: readonly number[] = [],
    onTolerated: () => void = () => {},
  ): Promise<Values | []> {
    if (this.#ended !== null) throw this.#ended;
    const host = this.#host;
    host.cork();
    return new Promise<Values | []>((resolve, reject) => {
      send((error, ...values) => {
        const failure = error === null ? null : codeOf(error);
        if (failure !== code.connectionLoss) host.answered();
        if (error === null) return resolve(values);
        if (failure !== null && tolerated.includes(failure)) {
          onTolerated();
          return resolve([]);
        }
        reject(this.#translate(error, failure, path));
      });
    });
  }

  #translate(error: Error, failure: number | null, path: string): Error {
    const { address } = this.#host;
    if (failure === code.sessionExpired)
      return new SessionOver(`ZooKeeper at ${address} says the session has expired`);
    if (failure === code.connectionLoss) {
      return this.#ended ?? new LinkError(`The connection to ${address} was lost`, { cause: error });
    }
    return (failure === null ? null : refusalOf(failure, path, address)) ?? error;
  }
}
