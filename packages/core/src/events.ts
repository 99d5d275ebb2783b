/** The events of an election: typed, safe to ignore, and unable to hurt it when a listener throws. */

import { publish } from "./diagnostics.ts";
import type { LossReason, PublicState } from "./election-state.ts";
import type { Term } from "./term.ts";

export interface ElectionEvents {
  /** A term began. Exactly one for each term. */
  elected: { readonly term: Term };
  /** A term is not valid any more. Exactly one for each `elected`, after it; before any other term can be valid. */
  lost: { readonly term: Term; readonly reason: LossReason };
  state: { readonly from: PublicState; readonly to: PublicState };
  /** The work of a term goes on although it was told to stop more than `drainTimeout` ago. */
  overdue: { readonly term: Term };
  /** The store failed us; we are trying again. */
  trouble: { readonly error: unknown };
}

export class Listeners {
  readonly #election: string;
  readonly #listeners = new Map<string, Set<(event: never) => unknown>>();

  constructor(election: string) {
    this.#election = election;
  }

  on<Name extends keyof ElectionEvents>(
    name: Name,
    listener: (event: ElectionEvents[Name]) => unknown,
  ): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // Wrapped, so that the same function may listen twice and each unsubscribes itself.
    const own = (event: ElectionEvents[Name]): unknown => listener(event);
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  emit<Name extends keyof ElectionEvents>(name: Name, event: ElectionEvents[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      const report = (error: unknown): void =>
        publish("listener", () => ({ election: this.#election, event: name, error }));
      try {
        const result = (listener as (event: ElectionEvents[Name]) => unknown)(event);
        // An async listener that fails must not end the process either.
        if (result instanceof Promise) result.catch(report);
      } catch (error) {
        report(error);
      }
    }
  }
}
