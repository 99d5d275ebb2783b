// A process that is a candidate in several elections at once, through whatever happens to the store: it campaigns,
// leads for a while, resigns, campaigns again; looks on, if it is told to; and keeps an account of everything that
// must not happen to it.
import { subscribe } from "node:diagnostics_channel";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import {
  ClosedError,
  connect,
  createElection,
  UnreachableError,
  type Backend,
  type Election,
  type ProofMessage,
  type Term,
} from "@elect/core";
import { HistoryLog } from "@elect/testing";
import { hostNow } from "./figures.ts";
import { footprint, type Footprint } from "./footprint.ts";

export interface CandidatesOptions {
  readonly url: string;
  /** Unique to the process. */
  readonly name: string;
  readonly elections: readonly string[];
  readonly ttl: number;
  /** Where the history of each candidate goes: what it claimed, and when. */
  readonly directory: string;
  /** Whether it also observes every election, and asks who leads and who else wants to. */
  readonly looksOn: boolean;
  /** Controls: with each weighing it keeps so much for ever; and does all that must not happen. */
  readonly leakKb: number;
  readonly careless: boolean;
}

export type Order = { readonly do: "weigh" } | { readonly do: "close" };

/** Instants are milliseconds on the host's clock. */
export type Report =
  | { readonly said: "ready" }
  /** The store has granted or confirmed, by a proof that was sent at this instant, that it leads these. */
  | { readonly said: "leads"; readonly elections: readonly string[]; readonly at: number }
  /** Must not happen. */
  | { readonly said: "problem"; readonly what: string }
  | { readonly said: "weight"; readonly weight: Footprint }
  | { readonly said: "closed"; readonly tookMs: number; readonly account: Account };

export interface Account {
  readonly terms: number;
  /** Troubles with the store that Elect has reported, and gone on. */
  readonly troubles: number;
  /** Questions (`leader()`, `candidates()`) that were answered, and that found the store unreachable. */
  readonly answered: number;
  readonly unreachable: number;
  /** Leaders that it was shown by `observe()`. */
  readonly observed: number;
}

/** A question may take five seconds, by core's own limit; one that takes much longer hangs. */
const questionLimitMs = 8_000;
const questionEveryMs = 150;
const claimEveryMs = 4;
/** How long it leads before it resigns, unless it is told otherwise: short enough that outages meet every state. */
const tenure = { least: 500, most: 4_000 };

const account = { terms: 0, troubles: 0, answered: 0, unreachable: 0, observed: 0 };

function say(report: Report): void {
  if (process.connected) process.send?.(report);
}

function problem(what: string, cause?: unknown): void {
  say({ said: "problem", what: cause === undefined ? what : `${what}: ${inspect(cause)}` });
}

/** One candidate, with its history. */
class Candidate {
  readonly election: Election;
  readonly #log: HistoryLog;
  readonly #closing: AbortSignal;
  /** The last term, also after its end: an old term must go on saying that it is over. */
  #term: Term | null = null;
  #campaignSince = 0;

  constructor(election: Election, log: HistoryLog, closing: AbortSignal) {
    this.election = election;
    this.#log = log;
    this.#closing = closing;
    election.on("elected", ({ term }) => this.#elected(term));
    election.on("lost", ({ term }) => {
      this.#campaignSince = now();
      this.#note("lost", term.token);
    });
    election.on("trouble", () => (account.troubles += 1));
  }

  get leads(): boolean {
    return this.#term?.isValid() ?? false;
  }

  async campaign(): Promise<void> {
    while (!this.#closing.aborted) {
      this.#campaignSince = now();
      this.#note("campaign", 0n);
      await this.election.run(async ({ signal }) => {
        const ms = tenure.least + Math.random() * (tenure.most - tenure.least);
        await sleep(ms, undefined, { signal }).catch(() => {});
      });
    }
  }

  claim(): void {
    const term = this.#term;
    if (term === null) return;
    const from = now();
    const valid = term.isValid();
    this.#log.write("claim", from, now(), term.token, valid);
  }

  async close(): Promise<void> {
    await this.election.close();
    this.claim();
    this.#term = null;
    this.#note("closed", 0n);
    this.#log.close();
  }

  #elected(term: Term): void {
    account.terms += 1;
    this.#term = term;
    this.#log.write("elected", this.#campaignSince, now(), term.token, false);
    term.signal.addEventListener("abort", () => this.#note("aborted", term.token), { once: true });
    this.claim();
    say({ said: "leads", elections: [this.election.name], at: hostNow() });
  }

  #note(kind: "campaign" | "aborted" | "lost" | "closed", token: bigint): void {
    this.#log.write(kind, now(), now(), token, false);
  }
}

/** Histories count in nanoseconds. */
function now(): number {
  return hostNow() * 1e6;
}

/** Observes, until `closing`: what it is shown never goes back to an older term. */
async function observe(election: Election, closing: AbortSignal): Promise<void> {
  let newest = 0n;
  for await (const leader of election.observe()) {
    account.observed += 1;
    if (leader === null) continue;
    if (leader.token < newest) problem(`observe() went back from token ${newest} to ${leader.token}`);
    newest = leader.token;
  }
  if (!closing.aborted) problem("observe() ended");
}

/** Asks, again and again: each question is answered, or fails as it is documented to, in the time that it may take. */
async function ask(elections: readonly Election[], closing: AbortSignal): Promise<void> {
  const isClosing = (): boolean => closing.aborted;
  for (let turn = 0; !isClosing(); turn += 1) {
    const election = elections[turn % elections.length]!;
    const question = turn % 2 === 0 ? "leader" : "candidates";
    const late = setTimeout(() => problem(`${question}() hangs`), questionLimitMs);
    try {
      await election[question]();
      account.answered += 1;
    } catch (error) {
      if (error instanceof UnreachableError) account.unreachable += 1;
      else if (!isClosing()) problem(`${question}() failed`, error);
    }
    clearTimeout(late);
    await sleep(questionEveryMs, undefined, { signal: closing }).catch(() => {});
  }
}

/** What an outage would leave behind if Elect kept something of it. */
const leaked: number[][] = [];

function beCareless(): void {
  void Promise.reject(new Error("as ordered"));
  setImmediate(() => {
    throw new Error("as ordered");
  });
  setInterval(() => {}, 1_000);
}

async function obey(order: Order, options: CandidatesOptions, close: () => Promise<void>): Promise<void> {
  if (order.do === "close") return close();
  if (options.leakKb > 0) leaked.push(Array.from({ length: options.leakKb * 128 }, () => Math.random()));
  if (options.careless) beCareless();
  say({ said: "weight", weight: await footprint() });
}

async function play(options: CandidatesOptions, backend: Backend): Promise<void> {
  const { name, ttl, directory, looksOn } = options;
  const closing = new AbortController();
  const candidates = options.elections.map((each) => {
    const election = createElection({ backend, name: each, ttl, id: name });
    return new Candidate(election, new HistoryLog(join(directory, `${each}.${name}`)), closing.signal);
  });
  const elections = candidates.map(({ election }) => election);
  subscribe("elect:proof", (message) => {
    const { outcome, took } = message as ProofMessage;
    const led = candidates.filter(({ leads }) => leads).map(({ election }) => election.name);
    if (outcome === "alive" && led.length > 0) say({ said: "leads", elections: led, at: hostNow() - took });
  });
  const claims = setInterval(() => {
    for (const candidate of candidates) candidate.claim();
  }, claimEveryMs);

  const run = async (what: string, work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => {
      if (!(closing.signal.aborted && error instanceof ClosedError)) problem(`${what} failed`, error);
    });
  const doings = [
    ...candidates.map(async (each) => run("campaign", each.campaign())),
    ...(looksOn ? elections.map(async (each) => run("observe()", observe(each, closing.signal))) : []),
    ...(looksOn ? [run("asking", ask(elections, closing.signal))] : []),
  ];
  process.on("message", (order: Order) => {
    void obey(order, options, async () => {
      const from = hostNow();
      closing.abort();
      await Promise.all(candidates.map(async (each) => each.close()));
      await backend.close();
      const tookMs = hostNow() - from;
      clearInterval(claims);
      await Promise.all(doings);
      say({ said: "closed", tookMs, account });
      // From here on nothing but what Elect left behind can keep the process alive.
      process.removeAllListeners("disconnect");
      process.disconnect();
    });
  });
  say({ said: "ready" });
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) {
  process.on("unhandledRejection", (reason) => problem("unhandled rejection", reason));
  process.on("uncaughtException", (error) => problem("uncaught exception", error));
  process.on("warning", (warning) => problem("warning", warning));
  // The parent is gone: so is the reason to be.
  process.once("disconnect", () => process.exit(1));
  const options = JSON.parse(process.argv[2] ?? "") as CandidatesOptions;
  await play(options, await connect(options.url));
}
