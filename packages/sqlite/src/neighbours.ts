/**
 * The other sessions that this one has to do with: asked for their condition while claiming, watched while something
 * that they hold is waited for. One look costs microseconds for each *session* waited for, however many elections.
 */

import { OtherLife, type Condition, type Habitat } from "./life.ts";

interface Neighbour {
  readonly life: OtherLife;
  /** How it was when it was met: anything else is news. */
  readonly condition: Condition;
  readonly mark: number | null;
  /** The elections that it holds and we wait for. */
  readonly awaited: Set<string>;
}

export class Neighbours {
  readonly #habitat: Habitat;
  readonly #known = new Map<string, Neighbour>();
  /** By whom each election waited for is held. */
  readonly #holders = new Map<string, string>();
  /** What was found in the transaction under way: one look for each, however many elections it holds. */
  readonly #found = new Map<string, Condition>();
  /** Found dead in the transaction under way. Held, with what proves it, until the transaction is through. */
  readonly #dead = new Map<string, OtherLife>();

  constructor(habitat: Habitat) {
    this.#habitat = habitat;
  }

  /**
   * How a session is. To be asked within a transaction: a holder lets go in the database first and stirs its file
   * afterwards, so what it lets go after this transaction will be news.
   */
  condition(id: string): Condition {
    const condition = this.#found.get(id) ?? this.#meet(id);
    this.#found.set(id, condition);
    return condition;
  }

  /** True once it is dead for good; its row may then be deleted, and its files after that (`settle`). */
  isDeadForGood(id: string): boolean {
    if (this.condition(id) === "alive") return false;
    const life = this.#known.get(id)?.life;
    if (life === undefined || !life.isDeadForGood()) return false;
    this.#dead.set(id, life);
    return true;
  }

  await(election: string, holder: string): void {
    this.forget(election);
    this.#holders.set(election, holder);
    this.#known.get(holder)?.awaited.add(election);
  }

  forget(election: string): void {
    const holder = this.#holders.get(election);
    if (holder === undefined) return;
    this.#holders.delete(election);
    this.#known.get(holder)?.awaited.delete(election);
  }

  /** After a transaction. If it went through, the dead are gone from the database: their files go too. */
  settle(committed: boolean): void {
    if (committed) for (const id of this.#dead.keys()) this.#habitat.directory.removeSession(id);
    for (const id of this.#dead.keys()) this.#leave(id);
    this.#dead.clear();
    this.#found.clear();
    for (const [id, { awaited }] of this.#known) if (awaited.size === 0) this.#leave(id);
  }

  /** The elections of neighbours about whom there is news. */
  look(): readonly string[] {
    const news: string[] = [];
    for (const [id, neighbour] of this.#known) {
      if (!isNews(neighbour)) continue;
      for (const election of neighbour.awaited) news.push(election);
      this.#leave(id);
    }
    return news;
  }

  close(): void {
    for (const id of [...this.#known.keys()]) this.#leave(id);
  }

  #meet(id: string): Condition {
    const known = this.#known.get(id);
    if (known !== undefined) return known.life.condition();
    const life = new OtherLife(this.#habitat, id);
    const neighbour = { life, mark: life.mark(), condition: life.condition(), awaited: new Set<string>() };
    this.#known.set(id, neighbour);
    return neighbour.condition;
  }

  #leave(id: string): void {
    const neighbour = this.#known.get(id);
    if (neighbour === undefined) return;
    for (const election of neighbour.awaited) this.#holders.delete(election);
    neighbour.life.close();
    this.#known.delete(id);
  }
}

function isNews({ life, mark, condition }: Neighbour): boolean {
  try {
    return life.mark() !== mark || life.condition() !== condition;
  } catch {
    // Whatever is wrong, the claim that follows will say it.
    return true;
  }
}
