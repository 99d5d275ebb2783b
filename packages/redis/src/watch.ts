/**
 * One connection for all that is pushed to us: wake-ups of sessions, changes of leaders. A push is only ever a hint,
 * at most once, and lost while there is no connection; whoever listens is told of such gaps.
 *
 * It is mended by whoever comes along with a call, never by a timer.
 */

import type { Call } from "@elect/core/adapter";
import { Link } from "./client.ts";
import type { Driver } from "./driver.ts";
import type { Settings } from "./options.ts";

export interface Listener {
  message(text: string): void;
  /** Messages may have been missed. */
  gap(): void;
}

export class Subscription {
  readonly #link: Link;
  readonly #listeners = new Map<string, Set<Listener>>();
  #mending: AbortController | null = null;

  constructor(settings: Settings) {
    this.#link = new Link(settings, {
      inspect: false,
      prepare: (driver) => this.#subscribeAll(driver),
      // Nobody is told yet: whoever asked again at once would connect again at once, and so on for as long as it breaks.
      lost: () => {},
    });
  }

  /** Resolves when what is published from now on will be heard. */
  async listen(channel: string, listener: Listener, call: Call): Promise<void> {
    const known = this.#listeners.get(channel);
    if (known === undefined) this.#listeners.set(channel, new Set([listener]));
    else known.add(listener);
    try {
      await this.#link.run(call, (wire) => wire.driver.subscribe(channel));
    } catch (error) {
      this.unlisten(channel, listener);
      throw error;
    }
  }

  unlisten(channel: string, listener: Listener): void {
    const listeners = this.#listeners.get(channel);
    if (listeners?.delete(listener) !== true || listeners.size > 0) return;
    this.#listeners.delete(channel);
    if (this.#listeners.size === 0) this.#link.reset();
    else this.#link.whileEstablished((driver) => void driver.unsubscribe(channel).catch(() => {}));
  }

  /** Connects again in the background where that is needed, and tells the listeners when it is done. */
  mend(timeoutMs: number): void {
    if (this.#link.connected || this.#mending !== null || this.#listeners.size === 0) return;
    const mending = (this.#mending = new AbortController());
    this.#link
      .run({ signal: mending.signal, timeoutMs }, async () => {})
      .then(
        () => this.#gap(),
        () => {}, // The next call tries again.
      )
      .finally(() => {
        if (this.#mending === mending) this.#mending = null;
      });
  }

  /** Nothing comes through although it should. */
  restart(timeoutMs: number): void {
    this.#mending?.abort(new Error("tried again"));
    this.#mending = null;
    this.#link.reset();
    this.mend(timeoutMs);
  }

  close(): void {
    this.#mending?.abort(new Error("closed"));
    this.#listeners.clear();
    this.#link.close();
  }

  async #subscribeAll(driver: Driver): Promise<void> {
    driver.on("message", (channel, message) => {
      for (const listener of this.#listeners.get(channel) ?? []) listener.message(message);
    });
    const channels = [...this.#listeners.keys()];
    if (channels.length > 0) await driver.subscribe(...channels);
  }

  #gap(): void {
    for (const listeners of this.#listeners.values()) for (const listener of listeners) listener.gap();
  }
}
