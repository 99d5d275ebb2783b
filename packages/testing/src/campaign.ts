/**
 * The fault campaign: candidates in processes of their own on one election, which are killed, stopped and stalled at
 * random; and then the checker, and the question how long nobody led.
 *
 * ```ts
 * const report = await runFaultCampaign({ url: "sqlite:./.elect", candidates: 10, seconds: 60 });
 * report.violations; // [] on every backend, or it is not one
 * ```
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createElection, type Backend } from "@elect/core";
import { checkHistory, type Violation } from "./checker.ts";
import { startCandidate, type ChildCandidate } from "./child-candidate.ts";
import { readHistory, type History } from "./history.ts";
import { Seeded } from "./seeded.ts";
import { findGaps, type FaultRecord, type Gap, type SeenLeader } from "./takeovers.ts";
import { hostNow, pass, within } from "./wait.ts";

export interface CampaignOptions {
  readonly url: string;
  /** A module that exports `fromUrl(url)`, for stores that `connect(url)` of `@elect/core` does not know. */
  readonly adapter?: string;
  /** @default 5 */
  readonly candidates?: number;
  /** @default 60 */
  readonly seconds?: number;
  /** @default 1000 */
  readonly ttl?: number;
  /** The same seed throws the same dice; what the processes do in between is theirs. @default at random */
  readonly seed?: number;
  /** @default all */
  readonly faults?: readonly FaultRecord["kind"][];
  /** A fault every so many ms, on one candidate that has none. @default 500 */
  readonly everyMs?: number;
  /** How many of the faults are aimed at the leader. @default 0.25 */
  readonly aimed?: number;
  /** The negative control: candidates that believe events, not the clock. The checker must find overlaps. */
  readonly unsafe?: boolean;
  /** Allowed on top of the backend's bounds, for a machine that is busy with all these processes. @default 3000 */
  readonly slackMs?: number;
  /** Hears of each fault. */
  readonly log?: (line: string) => void;
}

export interface CampaignReport {
  readonly seed: number;
  readonly faults: readonly FaultRecord[];
  /** How many faults hit the leader. */
  readonly aimed: number;
  /** How often a candidate asked itself whether it leads, and how often the answer was yes. */
  readonly claims: number;
  readonly validClaims: number;
  readonly terms: number;
  /** Promises 1, 4 and 9, broken. */
  readonly violations: readonly Violation[];
  /** All times without a leader. */
  readonly gaps: readonly Gap[];
  /** Those that are longer than the backend's bounds allow: promise 10, broken. */
  readonly late: readonly Gap[];
  /** The share of the time in which somebody led. */
  readonly availability: number;
  /** What candidates left behind when they were closed at the end; empty as a rule. */
  readonly remains: readonly string[];
  /** Whom the store named as leader. */
  readonly seen: readonly SeenLeader[];
  readonly history: History;
}

/** For how many TTLs a candidate is stopped or stalled: just below and just above what costs the term, and far above. */
const lengths = [0.2, 0.95, 1.05, 2] as const;

export async function runFaultCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const { seconds = 60, slackMs = 3000 } = options;
  await using field = await openField(options);
  await within(30_000, "somebody leads", field.somebodyLeads());
  const begin = hostNow();
  for (const end = begin + seconds * 1e9; hostNow() < end;) await field.strike();
  await field.heal();
  const end = hostNow();
  const remains = await field.close();

  const history = field.history();
  const ofTerms = history.filter(({ kind }) => kind === "elected");
  const claims = history.filter(({ kind }) => kind === "claim");
  const { ttl, faults, capabilities } = field;
  const gaps = findGaps(history, faults, field.seen, { ttl, capabilities });
  const without = gaps.reduce((sum, { ms }) => sum + ms, 0);
  return {
    seed: field.seed,
    faults,
    aimed: field.aimed,
    claims: claims.length,
    validClaims: claims.filter(({ valid }) => valid).length,
    terms: ofTerms.length,
    violations: checkHistory(history, { killed: field.killed }),
    gaps,
    late: gaps.filter(({ ms, allowedMs }) => ms > allowedMs + slackMs),
    availability: 1 - without / ((end - begin) / 1e6),
    remains,
    seen: field.seen,
    history,
  };
}

/** One line for people. */
export function summarise(report: CampaignReport): string {
  const longest = Math.max(0, ...report.gaps.map(({ ms }) => ms));
  const count = (kind: FaultRecord["kind"]): number =>
    report.faults.filter((fault) => fault.kind === kind).length;
  return (
    `seed ${report.seed}: ${count("kill")} kills, ${count("stop")} stops, ${count("stall")} stalls ` +
    `(${report.aimed} of them on the leader); ${report.terms} terms, ${report.claims} claims; ` +
    `${report.violations.length} violations; led ${(report.availability * 100).toFixed(1)} % of the time, ` +
    `longest gap ${Math.round(longest)} ms, ${report.late.length} longer than allowed`
  );
}

async function openField(options: CampaignOptions): Promise<Field> {
  const { url, adapter, candidates = 5 } = options;
  const backend =
    adapter === undefined
      ? await connect(url)
      : ((await import(adapter)) as { fromUrl(url: string): Backend }).fromUrl(url);
  const field = new Field(options, backend);
  try {
    await Promise.all(Array.from({ length: candidates }, () => field.start()));
  } catch (error) {
    await field[Symbol.asyncDispose]();
    throw error;
  }
  return field;
}

class Field implements AsyncDisposable {
  readonly seed: number;
  readonly ttl: number;
  readonly capabilities: Backend["capabilities"];
  readonly faults: FaultRecord[] = [];
  readonly killed = new Set<string>();
  readonly seen: SeenLeader[] = [];
  aimed = 0;
  readonly #options: CampaignOptions;
  readonly #backend: Backend;
  readonly #election: string;
  readonly #dice: Seeded;
  readonly #directory: string = mkdtempSync(join(tmpdir(), "elect-campaign-"));
  readonly #all: ChildCandidate[] = [];
  readonly #present = new Set<ChildCandidate>();
  /** Those to whom something is being done. */
  readonly #struck = new Map<ChildCandidate, Promise<void>>();
  readonly #stopLooking = new AbortController();
  #started = 0;

  constructor(options: CampaignOptions, backend: Backend) {
    this.seed = options.seed ?? Math.floor(Math.random() * 2 ** 31);
    this.ttl = options.ttl ?? 1000;
    this.capabilities = backend.capabilities;
    this.#options = options;
    this.#backend = backend;
    this.#dice = new Seeded(this.seed);
    this.#election = `campaign-${this.seed}-${Date.now().toString(36)}`;
    void this.#look();
  }

  async start(): Promise<void> {
    const { url, adapter, unsafe } = this.#options;
    const child = await startCandidate({
      url,
      ...(adapter === undefined ? {} : { adapter }),
      ...(unsafe === undefined ? {} : { unsafe }),
      election: this.#election,
      ttl: this.ttl,
      id: `candidate-${++this.#started}`,
      directory: this.#directory,
    });
    this.#all.push(child);
    this.#present.add(child);
  }

  async somebodyLeads(): Promise<void> {
    await Promise.race([...this.#present].map((child) => child.elected()));
  }

  /** One fault, and the pause until the next one. */
  async strike(): Promise<void> {
    const { faults = ["kill", "stop", "stall"], everyMs = 500, aimed = 0.25 } = this.#options;
    const pause = pass(everyMs * (0.5 + this.#dice.next()));
    const fault = this.#dice.pick(faults);
    const [aim, whom, length] = [this.#dice.next(), this.#dice.next(), this.#dice.pick(lengths)];
    const free = [...this.#present].filter((child) => !this.#struck.has(child));
    const leader = free.find((child) => child.leads !== null);
    const target = aim < aimed && leader !== undefined ? leader : free[Math.floor(whom * free.length)];
    if (fault !== undefined && target !== undefined) {
      if (target === leader) this.aimed += 1;
      const done = this.#do(fault, target, length * this.ttl).finally(() => this.#struck.delete(target));
      this.#struck.set(target, done);
      done.catch(() => {});
    }
    await pause;
  }

  /** Waits until nothing is done to anybody any more, and somebody leads. */
  async heal(): Promise<void> {
    await Promise.all(this.#struck.values());
    await within(60_000, "somebody leads when all is over", this.somebodyLeads());
    await pass(this.ttl);
  }

  /** Closes all candidates; what they had to leave behind. */
  async close(): Promise<string[]> {
    this.#stopLooking.abort();
    const closing = [...this.#present].map((child) => within(60_000, `${child.id} closes`, child.close()));
    return (await Promise.all(closing)).flat();
  }

  history(): History {
    return this.#all.flatMap((child) => readHistory(child.incarnation, child.log));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopLooking.abort();
    await Promise.all(this.#all.map((child) => child[Symbol.asyncDispose]()));
    await this.#backend.close();
    rmSync(this.#directory, { recursive: true });
  }

  async #do(kind: FaultRecord["kind"], child: ChildCandidate, ms: number): Promise<void> {
    const from = hostNow();
    this.#options.log?.(
      `${kind} ${child.id}${child.leads === null ? "" : ", the leader,"} for ${kind === "kill" ? "ever" : `${ms} ms`}`,
    );
    if (kind === "kill") {
      this.#present.delete(child);
      this.killed.add(child.incarnation);
      this.faults.push({ kind, candidate: child.incarnation, from, to: from });
      await child.kill();
      return this.start();
    }
    if (kind === "stop") {
      child.stop();
      await pass(ms);
      child.resume();
    } else await child.stall(ms);
    this.faults.push({ kind, candidate: child.incarnation, from, to: hostNow() });
  }

  /** Whom the store names, from outside: tells of a leader that was struck before it could say that it leads. */
  async #look(): Promise<void> {
    const election = createElection({ backend: this.#backend, name: this.#election, ttl: this.ttl });
    try {
      for await (const leader of election.observe({ signal: this.#stopLooking.signal })) {
        const child = this.#all.find(({ id }) => id === leader?.id);
        this.seen.push({ candidate: child?.incarnation ?? null, at: hostNow() });
      }
    } catch (error) {
      if (!this.#stopLooking.signal.aborted) throw error;
    }
  }
}
