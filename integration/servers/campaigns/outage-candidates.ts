// A process that is a candidate in several elections at once, through whatever happens to the store; looks on, if it
// is told to; and reports everything that must not happen to it.
import { subscribe } from "node:diagnostics_channel";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  ClosedError,
  connect,
  createElection,
  UnreachableError,
  type Backend,
  type Election,
  type ProofMessage,
} from "@elect/core";
import { HistoryLog } from "@elect/testing";
import { hostNow } from "./figures.ts";
import { footprint } from "./footprint.ts";
import { Candidate } from "./outage-candidate.ts";
import { account, problem, say, type CandidatesOptions, type Order } from "./outage-reports.ts";

/** A question may take five seconds, by core's own limit; one that takes much longer hangs. */
const questionLimitMs = 8_000;
const questionEveryMs = 150;
const claimEveryMs = 4;
/** Observes, until `closing`: what it is shown never goes back to an older term. */
async function observe(election: Election, closing: AbortSignal): Promise<void> {
  let newest = 0n;
  for await (const leader of election.observe()) {
    account.observed += 1;
    if (leader === null) continue;
    if (leader.token < newest) problem(`observe() went back from token ${newest} to ${leader.token}`);
    newest = leader.token;
    say({ said: "sees", election: election.name, at: hostNow() });
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
