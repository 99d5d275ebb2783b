/**
 * What a session knows of its claims, and what it watches for them:
 *
 * - of one that waits: the place ahead of it, and its own;
 * - of one that leads: the leader's node, and its own place (S5: an operator's deletion of either deposes).
 *
 * The reads that are needed anyway set these watches, so in a quiet time nothing is asked. They end with the
 * connection; on the next one, those that lead are watched again here, and those that wait look again.
 */

import type { Claim } from "@elect/core/adapter";
import { inWindows } from "./in-windows.ts";
import { isOwn, type Paths } from "./paths.ts";
import type { Changed } from "./watches.ts";
import type { Wire } from "./wire.ts";

export interface Standing {
  readonly claim: Claim;
  /** The name of its place in the queue, once the server has told it. */
  place: string | null;
  /** A place may have been created without our having heard of it. */
  unclear: boolean;
  /** The place watched, and whether it was the first: when that goes, nobody is left ahead. */
  ahead: { readonly path: string; readonly first: boolean } | null;
  /** Nobody is ahead any more. */
  next: boolean;
  granted: boolean;
  /** One function for each purpose, so that a path is watched once however often it is read. */
  readonly onAhead: Changed;
  readonly onPlace: Changed;
  readonly onLeader: Changed;
}

export interface StandingEvents {
  hint(election: string): void;
  lost(claim: Claim, reason: string): void;
}

export interface StandingsOptions {
  readonly paths: Paths;
  /** The session's id, as nodes name their owner. */
  readonly session: Buffer;
  /** The present connection, for looks that belong to no call. */
  wire(): Wire;
  readonly events: StandingEvents;
}

export class Standings {
  readonly #options: StandingsOptions;
  readonly #byNonce = new Map<string, Standing>();

  constructor(options: StandingsOptions) {
    this.#options = options;
  }

  get(nonce: string): Standing | undefined {
    return this.#byNonce.get(nonce);
  }

  /** Takes it out: nothing is reported of it any more. */
  remove(nonce: string): Standing | undefined {
    const standing = this.#byNonce.get(nonce);
    this.#byNonce.delete(nonce);
    return standing;
  }

  of({ election, nonce }: Claim): Standing {
    const known = this.#byNonce.get(nonce);
    if (known !== undefined) return known;
    const { events } = this.#options;
    const standing: Standing = {
      claim: { election, nonce },
      place: null,
      unclear: false,
      ahead: null,
      next: false,
      granted: false,
      onAhead: (path, gone) => {
        if (!this.#live(standing) || standing.ahead?.path !== path) return;
        standing.next = gone && standing.ahead.first;
        standing.ahead = null;
        events.hint(election);
      },
      onPlace: (_, gone) => this.#changed(standing, gone, "its place in the queue was deleted"),
      onLeader: (_, gone) => this.#changed(standing, gone && standing.granted, "its leader node was deleted"),
    };
    this.#byNonce.set(nonce, standing);
    return standing;
  }

  /** On a new connection: watches again what we hold, and reports what went while nobody watched. */
  async watchAgain(): Promise<void> {
    const wire = this.#options.wire();
    const held = [...this.#byNonce.values()].filter(({ granted }) => granted);
    await inWindows(held, (standing) => this.#check(wire, standing));
  }

  #changed(standing: Standing, lost: boolean, reason: string): void {
    if (!this.#live(standing)) return;
    const { granted } = standing;
    if (lost) this.#lose(standing, reason);
    if (!granted) this.#options.events.hint(standing.claim.election);
    // Somebody wrote to it: nothing is lost but the watch. If the connection ends meanwhile, `watchAgain` follows.
    else if (!lost) this.#check(this.#options.wire(), standing).catch(() => {});
  }

  async #check(wire: Wire, standing: Standing): Promise<void> {
    const { paths, session } = this.#options;
    const { claim, place } = standing;
    if (place === null) return;
    const [leader, own] = await Promise.all([
      wire.read(paths.leader(claim.election), standing.onLeader),
      wire.read(paths.place(claim.election, place), standing.onPlace),
    ]);
    if (own === null || !isOwn(leader, { session, nonce: claim.nonce }))
      this.#lose(standing, "its node is gone");
  }

  #lose(standing: Standing, reason: string): void {
    if (!this.#live(standing)) return;
    standing.granted = false;
    standing.place = null;
    this.#options.events.lost(standing.claim, reason);
  }

  #live(standing: Standing): boolean {
    return this.#byNonce.get(standing.claim.nonce) === standing;
  }
}
