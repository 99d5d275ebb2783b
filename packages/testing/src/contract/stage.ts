/**
 * Where one test of the contract plays: its candidates, each a "process" of its own, and what watches them. Whatever
 * a test is about, its stage checks that no two terms of an election are valid at once, that tokens rise, and that
 * each term is elected once and lost once.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createElection, type Backend, type ElectionOptions } from "@elect/core";
import { checkHistory } from "../checker.ts";
import { startCandidate, type ChildCandidate, type StartOptions } from "../child-candidate.ts";
import type { HistoryRecord } from "../history.ts";
import { within } from "../wait.ts";
import { openLink, type Link } from "./link.ts";
import { isNone, type ElectionContract, type Operator } from "./options.ts";
import { Candidate } from "./candidate.ts";
import { Watchman } from "./watchman.ts";

/** What a slow, shared machine may add to any bound. Tests show that things happen, benchmarks how fast. */
export const slack = 4_000;

/** How often the stage looks whether two terms are valid. */
const watchEveryMs = 5;

export interface CandidateSetting extends Partial<Omit<ElectionOptions, "backend">> {
  /** The process it lives in. @default a new one */
  readonly backend?: Backend;
  /** For a new process: its way to the store. @default direct */
  readonly link?: Link;
}

export class Stage {
  /** The election of this test: unique, `[a-z0-9-]` only. */
  readonly name: string;
  readonly ttl: number;
  readonly contract: ElectionContract;
  readonly watchman: Watchman = new Watchman();
  readonly #candidates: Candidate[] = [];
  readonly #backends: Backend[] = [];
  readonly #links: Link[] = [];
  readonly #children: ChildCandidate[] = [];
  readonly #cleanups: (() => void)[] = [];
  readonly #watch: NodeJS.Timeout;
  #directory: string | null = null;
  #started = 0;
  readonly #findings: string[] = [];
  #looked: number = performance.now();
  #standstill = 0;

  constructor(contract: ElectionContract, name: string) {
    this.contract = contract;
    this.name = name;
    this.ttl = contract.ttl ?? 2_000;
    this.#watch = setInterval(() => this.#look(), watchEveryMs);
  }

  /** The longest time for which nothing ran in this process, or a child: explains a loss that nobody caused. */
  get standstill(): number {
    return Math.max(this.#here, ...this.#children.map(({ standstill }) => standstill));
  }

  get #here(): number {
    return Math.max(this.#standstill, performance.now() - this.#looked);
  }

  /** Within so many ms somebody leads again after the leader's crash. */
  get crashBound(): number {
    const { ttls, plusMs } = this.contract.capabilities.crash;
    return ttls * this.ttl + plusMs + slack;
  }

  /** The same after it was stopped or cut off. For a test that needs it: `suite.test(…, ["stopped"], …)`. */
  get stoppedBound(): number {
    const { stopped } = this.contract.capabilities;
    if (stopped === null) throw new Error("a stopped leader is not replaced on this backend");
    return stopped.ttls * this.ttl + stopped.plusMs + slack;
  }

  get operator(): Operator {
    const { operator } = this.contract;
    if (isNone(operator)) throw new Error(operator.none);
    return operator;
  }

  /** Another process, as far as the store can tell. */
  async process(url: string = this.contract.url): Promise<Backend> {
    const backend = await this.contract.connect(url);
    this.#backends.push(backend);
    return backend;
  }

  async link(): Promise<Link> {
    const { faults } = this.contract;
    if (isNone(faults)) throw new Error(faults.none);
    const link = await openLink(faults);
    this.#links.push(link);
    return link;
  }

  async candidate(setting: CandidateSetting = {}): Promise<Candidate> {
    const { backend = await this.process(setting.link?.url), link: _, ...options } = setting;
    const election = createElection({ backend, name: this.name, ttl: this.ttl, ...options });
    const candidate = new Candidate(election, backend, this.watchman);
    this.#candidates.push(candidate);
    return candidate;
  }

  async candidates(count: number): Promise<Candidate[]> {
    return Promise.all(Array.from({ length: count }, () => this.candidate()));
  }

  /** A candidate in a child process. */
  async child(options: Partial<StartOptions> & { readonly link?: Link } = {}): Promise<ChildCandidate> {
    const { link, ...rest } = options;
    const directory = (this.#directory ??= mkdtempSync(join(tmpdir(), "elect-contract-")));
    const child = await startCandidate({
      url: link?.url ?? this.contract.url,
      ...(this.contract.adapter === undefined ? {} : { adapter: this.contract.adapter }),
      election: this.name,
      ttl: this.ttl,
      id: `child-${++this.#started}`,
      directory,
      ...rest,
    });
    this.#children.push(child);
    return child;
  }

  /** What the children noted, all of them. */
  history(): HistoryRecord[] {
    return this.#children.flatMap((child) => child.history());
  }

  /** What happened to each candidate: the last events only, where there are many. */
  get story(): string {
    const stories = this.#candidates.map(({ story }) => story);
    for (const { id, terms, troubles, stderr } of this.#children) {
      const held = terms.map(({ token, lost }) => `  ${id}: led with token ${token}, ${lost ?? "not lost"}`);
      stories.push([...held, ...troubles.map((trouble) => `  ${id}: trouble: ${trouble}`), stderr]);
    }
    return stories
      .flatMap((story) => story.slice(-12))
      .slice(-80)
      .join("\n");
  }

  #look(): void {
    this.#standstill = this.#here;
    this.#looked = performance.now();
    this.watchman.look();
  }

  /** Called at the end, whatever happens. */
  finally(cleanup: () => void): void {
    this.#cleanups.push(cleanup);
  }

  /** What was found that must not be, whatever the test is about; complete when the stage was taken down. */
  get findings(): readonly string[] {
    return this.#findings;
  }

  /** Takes the stage down. */
  async end(): Promise<void> {
    clearInterval(this.#watch);
    for (const cleanup of this.#cleanups) cleanup();
    for (const link of this.#links) link.heal();
    for (const candidate of this.#candidates) candidate.leave();
    await Promise.all(this.#children.map((child) => child[Symbol.asyncDispose]()));
    try {
      await within(
        20_000,
        "all backends close",
        Promise.all(this.#backends.map((backend) => backend.close())),
      );
      await Promise.all(this.#links.map((link) => link.close()));
    } finally {
      const killed = new Set(this.#children.map((child) => child.incarnation));
      const violations = checkHistory(this.history(), { killed });
      this.#findings.push(...this.watchman.findings, ...violations.map(({ message }) => message));
      if (this.#directory !== null) rmSync(this.#directory, { recursive: true });
    }
  }
}
