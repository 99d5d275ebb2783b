// PostgreSQL: how long it takes to replace a leader of a thousand elections that is killed, alone or together with who
// waits next; and what it means that the server drops the connection of a leader that does not hear of it.
//
//     pnpm --dir integration/servers campaign:postgres-takeover [rounds] [elections]
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { makeEngineReady } from "../src/index.ts";
import { crashBound } from "./crash-bound.ts";
import { quantile } from "./figures.ts";
import { Line } from "./postgres-crowds.ts";
import { blackholeWaiter, deafnesses, endure, losses, type Outcome } from "./postgres-lost-connections.ts";
import { startOwnStore, type Store } from "./stores.ts";
import { Yardstick, type Reading } from "./yardstick.ts";

/** With "connection" the lease has no part in a take-over after a crash: so long, that it cannot have had. */
const ttls = { lease: 3_000, connection: 30_000 };
/** For leaders that are deaf, whose lease it is that ends. */
const ttl = 3_000;
/** A process that is told of a new neighbour leaves a connection behind, which the server notices within a second. */
const leftMs = 1_500;
/** "In <= 50 ms p99 on an idle machine, two connections per process." */
const budget = { p99: 50, lease: 1, connection: 2 };
/** Idle is a machine on which a fixed piece of work, right before and right after, took so many times its shortest time of the run. */
const idleUpTo = 1.4;
/** So many times the crashes asked for are tried, until enough of them met an idle machine. */
const triesEach = 6;

export type Mode = "lease" | "connection";

export function inMode(store: Store, mode: Mode): string {
  return `${store.url}&takeover=${mode}`;
}

/** A process that was killed: how long until each of its elections had a leader again, and how fast the machine was before and after. */
interface Crash {
  readonly times: readonly number[];
  readonly beside: readonly Reading[];
  /** Of each process. */
  readonly connections: number;
}

/** Of the leader alone, and of the next in line with it. */
async function crashes(store: Store, mode: Mode, rounds: number, elections: number): Promise<string[]> {
  const bound = await crashBound(inMode(store, mode), ttls[mode]);
  await using yardstick = await Yardstick.on(store.server.url);
  const faults: string[] = [];
  for (const [killed, what] of [
    [1, "the leader is killed"],
    [2, "the leader is killed together with the next in line"],
  ] as const) {
    const name = `takeover ${mode}: ${what}`;
    const all: Crash[] = [];
    const idle = (): Crash[] => all.filter(({ beside }) => yardstick.slowness(beside) <= idleUpTo);
    const judged = mode === "connection" && killed === 1;
    const enough = (): boolean => (judged ? idle() : all).length >= rounds;
    while (!enough() && all.length < rounds * triesEach)
      all.push(await crash(store, mode, killed, elections, yardstick));
    console.log(`${name}, with ${elections} elections, all taken over each time; declared bound ${bound} ms`);
    console.log(`  ${told(all)}`);
    const slowest = Math.max(...timesOf(all));
    if (slowest > bound) faults.push(`${name}: ${slowest.toFixed(0)} ms until all were taken over`);
    for (const { connections } of all)
      if (connections !== budget[mode]) faults.push(`${name}: ${connections} connections per process`);
    if (!judged) continue;
    console.log(`  of these on an idle machine: ${told(idle())}`);
    if (!enough()) faults.push(`${name}: the machine was idle in ${idle().length} crashes only`);
    const p99 = quantile(timesOf(idle()), 0.99);
    if (p99 > budget.p99) faults.push(`${name}: p99 ${p99.toFixed(1)} ms is more than ${budget.p99} ms`);
  }
  return faults;
}

async function crash(
  store: Store,
  mode: Mode,
  killed: number,
  elections: number,
  yardstick: Yardstick,
): Promise<Crash> {
  await using line = await Line.of(3, {
    url: inMode(store, mode),
    elections,
    ttl: ttls[mode],
    built: true,
  });
  if (mode === "connection") await sleep(leftMs);
  const connections = await line.connectionsEach();
  const before = await yardstick.read();
  const times = await line.kill(killed);
  return { times, beside: [before, await yardstick.read()], connections };
}

function timesOf(crashes: readonly Crash[]): number[] {
  return crashes.flatMap(({ times }) => times);
}

function told(crashes: readonly Crash[]): string {
  const times = timesOf(crashes);
  const last = crashes.map((crash) => Math.max(...crash.times).toFixed(0));
  const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)];
  return `${crashes.length} times, p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, the last of each ${last.join(", ")} ms`;
}

/** A leader that is deaf, with and without a loss of its connection. */
async function ordeals(store: Store, mode: Mode, rounds: number): Promise<string[]> {
  const url = inMode(store, mode);
  const faults: string[] = [];
  for (const deaf of deafnesses) {
    for (const loss of losses) {
      const outcomes: Outcome[] = [];
      for (let round = 0; round < rounds; round += 1)
        outcomes.push(await endure(store.server, url, ttl, { deaf, loss }));
      console.log(
        `takeover ${mode}: the leader is ${deaf}, its connection ${lossSaid[loss]}: ${figures(outcomes)}`,
      );
      faults.push(...faultsOf(mode, outcomes));
    }
  }
  return faults;
}

const lossSaid = {
  nothing: "left alone",
  terminated: "terminated",
  reset: "reset",
  restarted: "lost in a restart of the server",
};

function figures(outcomes: readonly Outcome[]): string {
  const after = outcomes.map(({ takenOverMs }) => takenOverMs);
  const overlaps = outcomes.map(({ overlapMs }) => overlapMs);
  const longest = Math.max(...overlaps);
  return (
    `replaced after ${Math.min(...after).toFixed(0)} to ${Math.max(...after).toFixed(0)} ms; ` +
    (longest < 0
      ? `no overlap, smallest margin ${(-longest).toFixed(0)} ms`
      : `two leaders for up to ${longest.toFixed(0)} ms`)
  );
}

/** Only with `takeover: "connection"`, and only by the loss of the connection, may two lead. */
export function faultsOf(mode: Mode, outcomes: readonly Outcome[]): string[] {
  return outcomes.flatMap(({ deaf, loss, overlapMs }) => {
    const may = mode === "connection" && loss !== "nothing";
    if (Number.isNaN(overlapMs)) return [`takeover ${mode}, ${deaf}, ${loss}: nothing was seen`];
    return overlapMs < 0 || may
      ? []
      : [`takeover ${mode}, ${deaf}, ${loss}: two leaders for ${overlapMs.toFixed(0)} ms`];
  });
}

/** Settles with the exit code. */
async function main(rounds: number, elections: number): Promise<number> {
  await makeEngineReady();
  const faults: string[] = [];
  for (const mode of ["lease", "connection"] as const) {
    await using store = await startOwnStore("PostgreSQL");
    faults.push(...(await crashes(store, mode, rounds, elections)));
    faults.push(...(await ordeals(store, mode, Math.ceil(rounds / 4))));
    const silent = await blackholeWaiter(store.server, inMode(store, mode), ttl);
    console.log(
      `takeover ${mode}: a waiter behind a silent link: ${silent.length === 0 ? "never won" : silent.join("; ")}`,
    );
    faults.push(...silent.map((fault) => `takeover ${mode}: ${fault}`));
  }
  for (const fault of faults) console.error(`failed: ${fault}`);
  return faults.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [rounds = "8", elections = "1000"] = process.argv.slice(2);
  process.exitCode = await main(Number(rounds), Number(elections));
}
