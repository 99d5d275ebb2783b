/**
 * The watches of one connection: who is to be told when a node changes. The server tells once, of one change; and all
 * watches end with their connection.
 */

import { nodeDeleted, type WatchEvent } from "./driver.ts";

/** Told once that the node changed; `gone`: it was deleted. A function watches a path once, however often it asks. */
export type Changed = (path: string, gone: boolean) => void;

export class Watches {
  readonly #byPath = new Map<string, Set<Changed>>();
  readonly #tell: (say: () => void) => void;

  /** `tell` calls at a time at which other people's code may run. */
  constructor(tell: (say: () => void) => void) {
    this.#tell = tell;
  }

  /** Called in the same turn in which the driver registers `fire`, so that no event falls between. */
  add(path: string, changed: Changed): void {
    const watching = this.#byPath.get(path);
    if (watching === undefined) this.#byPath.set(path, new Set([changed]));
    else watching.add(changed);
  }

  has(path: string, changed: Changed): boolean {
    return this.#byPath.get(path)?.has(changed) ?? false;
  }

  clear(): void {
    this.#byPath.clear();
  }

  /** One function for all: the driver warns on the console from the eleventh listener of a path on. */
  readonly fire = ({ type, path }: WatchEvent): void => {
    const watching = this.#byPath.get(path);
    this.#byPath.delete(path);
    for (const changed of watching ?? []) this.#tell(() => changed(path, type === nodeDeleted));
  };
}
