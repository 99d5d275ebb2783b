/** What a test and its candidate processes say to each other. */

import type { Metadata } from "@elect/core";

export interface CandidateOptions {
  /** The store; `connect(url)` of `@elect/core` must know it, unless there is an `adapter`. */
  readonly url: string;
  /** A module that exports `fromUrl(url)`, for stores that `connect(url)` does not know. */
  readonly adapter?: string;
  readonly election: string;
  readonly ttl: number;
  /** The candidate's id: give each process incarnation its own. */
  readonly id: string;
  readonly metadata?: Metadata;
  /** The file to which the candidate's history is appended. */
  readonly log: string;
  /** @default 2 */
  readonly claimEveryMs?: number;
  /**
   * The negative control: holds itself for the leader from event to event, as most hand-made elections do, in place of
   * asking the clock. A checker that finds no overlap of these sees nothing.
   */
  readonly unsafe?: boolean;
}

export type Order =
  | { readonly do: "stall"; readonly ms: number }
  | { readonly do: "resign" }
  | { readonly do: "close" }
  | { readonly do: "exit" }
  | { readonly do: "throw" }
  | { readonly do: "jump-wall-clock"; readonly byMs: number; readonly everyMs: number };

export type Report =
  | { readonly said: "ready" }
  | { readonly said: "elected"; readonly token: bigint }
  | { readonly said: "lost"; readonly token: bigint; readonly reason: string }
  | { readonly said: "stalled" }
  /** Nothing ran in it for so long. */
  | { readonly said: "stood-still"; readonly ms: number }
  | { readonly said: "trouble"; readonly message: string }
  | { readonly said: "closed"; readonly remains: readonly string[] };
