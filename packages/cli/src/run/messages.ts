/**
 * What the two processes of `elect run` say to each other, over Node's channel between parent and child; its end tells
 * each that the other is gone.
 *
 *     foreground                    holder
 *       campaign ──────────────────▶  waits until it is elected
 *                ◀────────── elected
 *       started  ──────────────────▶  (or `ended`: it could not be)
 *                ◀─────────── extend  at each proof
 *       extended ──────────────────▶  what the foreground has not confirmed does not count
 *                ◀───────────── lost  the term is over
 *       ended    ──────────────────▶  gives the term back
 *       leave    ──────────────────▶  … and exits; else `campaign`
 */

import type { Metadata } from "@elect/core";
import type { Leader } from "./processes.ts";

/** Deadlines are instants of the host's monotonic clock, in ms. */
export type Order =
  | { readonly kind: "campaign"; readonly candidate: CandidateOptions }
  | { readonly kind: "started"; readonly leader: Leader }
  | { readonly kind: "extended"; readonly deadline: number }
  | { readonly kind: "ended" }
  | { readonly kind: "leave" };

export type Report =
  | { readonly kind: "elected"; readonly win: Win }
  | { readonly kind: "extend"; readonly deadline: number }
  | { readonly kind: "lost"; readonly reason: string }
  | { readonly kind: "trouble"; readonly message: string }
  | { readonly kind: "failed"; readonly exitCode: number; readonly message: string };

export interface CandidateOptions {
  readonly url: string;
  readonly election: string;
  readonly ttl: number;
  readonly id: string | null;
  readonly metadata: Metadata;
  readonly generation: number;
  /** How long a command may take to end when its lease runs out, in ms. */
  readonly grace: number;
}

export interface Win {
  readonly candidate: string;
  /** The store's address, without credentials. */
  readonly store: string;
  readonly token: string;
  readonly fence: string;
  /** The TTL that the store granted, in ms. */
  readonly ttl: number;
  readonly deadline: number;
  readonly mark: Mark;
  /** For the deadline file. Both remove it, so that whoever is left does. */
  readonly directory: string;
  /** Whether the store gives leadership away when the holder dies, and not after its lease: see `startCommand`. */
  readonly crashHandsOver: boolean;
}

/** What the command's processes are to carry in their environment: `text`, which begins with `family`. */
export interface Mark {
  /** The same for all runs of one election on one store. */
  readonly family: string;
  readonly text: string;
}
