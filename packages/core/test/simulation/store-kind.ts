/** Stores differ; the promises do not. */

import type { Chance } from "./chance.ts";

export interface StoreKind {
  readonly order: "fifo" | "none";
  /** Who says that a holder is dead: the store's own lease, or a challenger who saw no renewal. */
  readonly judge: "lease" | "patience";
  /** How likely it is that a waiter is woken when an election becomes free. */
  readonly pushes: number;
  readonly pollMs: number | null;
  readonly saysWhen: boolean;
  /** Whether dead sessions are looked for, or only found when somebody asks. */
  readonly sweeps: boolean;
  /** A proof touches the session so much later, at the latest, and only if the server it went to lives so long. */
  readonly lagMs: number;
  /** How much more than asked is granted. */
  readonly generosity: number;
  /** Whether grants are told by themselves, before the reply to the claim or without it. */
  readonly tellsEarly: boolean;
}

/** One of the many kinds that there are. */
export function storeKind(chance: Chance, ttl: number): StoreKind {
  const judge = chance.of(["lease", "lease", "lease", "patience"] as const);
  const order = judge === "patience" ? "none" : chance.of(["fifo", "none"] as const);
  const poll = chance.hits(0.25);
  return {
    order,
    judge,
    pushes: poll ? 0 : chance.of([1, 1, 0.5, 0]),
    pollMs: poll ? ttl / 20 : null,
    saysWhen: chance.hits(0.5),
    sweeps: judge === "lease" && chance.hits(0.5),
    lagMs: judge === "lease" && chance.hits(0.25) ? ttl / 4 : 0,
    generosity: chance.of([1, 1, 1.5]),
    tellsEarly: chance.hits(0.25),
  };
}
