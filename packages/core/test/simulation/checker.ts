/**
 * What must hold at every instant of true time, whatever happens. It sees all processes at once, which nobody in the
 * simulation can, and asks each only what its own user could ask at that moment: a process that is stopped is not asked.
 */

import type { LossReason } from "../../src/election-state.ts";
import type { Term } from "../../src/term.ts";
import type { HostClock } from "./host-clock.ts";
import type { Host, Timeline } from "./timeline.ts";

/** How long after its deadline a term may go unnoticed in a process that runs. */
const noticedWithin = 50;

interface Watched {
  readonly who: string;
  readonly election: string;
  readonly term: Term;
  readonly host: Host;
  readonly clock: HostClock;
  lost: LossReason | null;
}

export class Checker {
  /** How often something was seen, by what it is. */
  readonly seen = new Map<string, number>();
  violation: string | null = null;
  readonly #timeline: Timeline;
  readonly #terms = new Map<Term, Watched>();
  readonly #tokens = new Map<string, Set<bigint>>();
  /** C1: the highest token that was valid, by election. */
  readonly #highestValid = new Map<string, { token: bigint; who: string }>();
  readonly #lastElected = new Map<string, bigint>();
  /** Until when a term may overlap because an operator took its record away (see the module comment of core). */
  readonly #robbed = new Map<string, number>();
  /** Which token the running work of an election in a process acts under. */
  readonly #working = new Map<string, Map<string, bigint>>();

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  /** The first one counts: what comes after it may follow from it. */
  fail(message: string): void {
    this.violation ??= `at ${this.#timeline.now.toFixed(3)} ms: ${message}`;
  }

  elected(who: string, term: Term, host: Host, clock: HostClock): void {
    const { election, token } = term;
    const tokens = this.#tokens.get(election) ?? new Set();
    this.#tokens.set(election, tokens);
    if (tokens.has(token)) this.fail(`C2: token ${token} of ${election} was used twice, now by ${who}`);
    tokens.add(token);
    const last = this.#lastElected.get(election) ?? 0n;
    if (token <= last && !this.#isRobbed(election, token))
      this.fail(`C2: ${who} was elected under token ${token} of ${election} after ${last}`);
    if (token > last) this.#lastElected.set(election, token);
    const watched: Watched = { who, election, term, host, clock, lost: null };
    this.#terms.set(term, watched);
    this.count("elected");
    this.#watchDeadline(watched);
  }

  lost(who: string, term: Term, reason: LossReason): void {
    const watched = this.#terms.get(term);
    if (watched === undefined)
      return this.fail(`C6: ${who} lost a term that it was not elected for, or twice`);
    if (term.isValid()) this.fail(`C6: ${who} was told of the loss of a term that is valid`);
    if (!term.signal.aborted) this.fail(`C6: ${who} lost a term whose signal is not aborted`);
    watched.lost = reason;
    this.#terms.delete(term);
    this.count(`lost ${reason}`);
  }

  /** The process is gone, with all its terms. */
  crashed(host: Host): void {
    for (const [term, watched] of this.#terms) if (watched.host === host) this.#terms.delete(term);
  }

  workBegan(who: string, election: string, token: bigint): void {
    const works = this.#working.get(election) ?? new Map<string, bigint>();
    this.#working.set(election, works);
    if (works.has(who)) this.fail(`P6: ${who} runs two works in ${election} at once`);
    works.set(who, token);
  }

  workEnded(who: string, election: string): void {
    this.#working.get(election)?.delete(who);
  }

  /** P6: the store freed a record because its own session asked for it. */
  freed(election: string, token: bigint): void {
    for (const [who, working] of this.#working.get(election) ?? [])
      if (working === token)
        this.fail(`P6: ${who} gave back token ${token} of ${election} under running work`);
  }

  robbed(election: string, token: bigint, forMs: number): void {
    this.#robbed.set(`${election} ${token}`, this.#timeline.now + forMs);
  }

  /** C1: no term is valid once a newer one has been. Asks every term of every process that runs. */
  look(): void {
    for (const watched of this.#terms.values()) this.#lookAt(watched);
  }

  /** The first statement of a process that goes on after a stop. */
  lookAfterStop(host: Host): void {
    for (const watched of [...this.#terms.values()]) if (watched.host === host) this.#lookAt(watched);
  }

  /** The candidates that lead now, by election. */
  leaders(election: string): number {
    return [...this.#terms.values()].filter(
      (watched) =>
        watched.election === election && isRunning(watched.host, this.#timeline) && watched.term.isValid(),
    ).length;
  }

  #lookAt({ who, election, term, host }: Watched): void {
    if (!isRunning(host, this.#timeline) || !term.isValid()) return;
    const highest = this.#highestValid.get(election);
    if (highest === undefined || term.token >= highest.token)
      return void this.#highestValid.set(election, { token: term.token, who });
    if (this.#isRobbed(election, term.token)) return this.count("overlap by an operator's hand");
    this.fail(
      `C1: in ${election}, ${who} leads under token ${term.token}, and ${highest.who} has led under ${highest.token}`,
    );
  }

  /** C6: a process that runs notices by itself, soon after the deadline. Asked just before it, the term may have been moved on. */
  #watchDeadline(watched: Watched): void {
    const remaining = watched.clock.truly(watched.term.remaining());
    this.#timeline.in(remaining - 0.01, null, () => {
      if (watched.lost !== null || watched.host.dead) return;
      // Stopped: it is looked at when it goes on.
      if (!isRunning(watched.host, this.#timeline)) return this.#watchLater(watched);
      if (watched.term.remaining() > 1) return this.#watchDeadline(watched);
      this.#timeline.in(noticedWithin, watched.host, () => {
        if (watched.lost === null && watched.term.remaining() === 0)
          this.fail(`C6: ${watched.who} did not notice that token ${watched.term.token} had run out`);
      });
    });
  }

  #watchLater(watched: Watched): void {
    this.#timeline.in(0, watched.host, () => {
      if (watched.term.isValid()) this.#watchDeadline(watched);
    });
  }

  #isRobbed(election: string, token: bigint): boolean {
    return this.#timeline.now < (this.#robbed.get(`${election} ${token}`) ?? 0);
  }
}

function isRunning(host: Host, timeline: Timeline): boolean {
  return !host.dead && host.stoppedUntil <= timeline.now;
}
