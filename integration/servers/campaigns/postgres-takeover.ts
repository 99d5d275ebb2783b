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

/** With "connection" the lease has no part in a take-over after a crash: so long, that it cannot have had. */
const ttls = { lease: 3_000, connection: 30_000 };
/** For leaders that are deaf, whose lease it is that ends. */
const ttl = 3_000;
/** A process that is told of a new neighbour leaves a connection behind, which the server notices within a second. */
const leftMs = 1_500;
/** "In <= 50 ms p99 on an idle machine, two connections per process." */
const budget = { p99: 50, lease: 1, connection: 2 };

export type Mode = "lease" | "connection";

export function inMode(store: Store, mode: Mode): string {
  return `${store.url}&takeover=${mode}`;
}

/** Times from the SIGKILL of a process to the elections of its successors: of the leader alone, and of the next in line with it. */
async function crashes(store: Store, mode: Mode, rounds: number, elections: number): Promise<string[]> {
  const url = inMode(store, mode);
  const bound = await crashBound(url, ttls[mode]);
  const faults: string[] = [];
  for (const [killed, what] of [
    [1, "the leader is killed"],
    [2, "the leader is killed together with the next in line"],
  ] as const) {
    const times: number[] = [];
    const last: string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await using line = await Line.of(3, { url, elections, ttl: ttls[mode], built: true });
      if (mode === "connection") await sleep(leftMs);
      const connections = await line.connectionsEach();
      if (connections !== budget[mode])
        faults.push(`takeover ${mode}: ${connections} connections per process`);
      const round = await line.kill(killed);
      times.push(...round);
      last.push(Math.max(...round).toFixed(0));
    }
    const [p50, p99, max] = [quantile(times, 0.5), quantile(times, 0.99), Math.max(...times)];
    console.log(
      `takeover ${mode}, ${budget[mode]} connection(s) per process: ${what}, ${rounds} times ${elections} elections: all taken ` +
        `over; p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, the last of each time ${last.join(", ")} ms; declared bound ${bound} ms`,
    );
    if (max > bound) faults.push(`takeover ${mode}: ${what}: ${max.toFixed(0)} ms until all were taken over`);
    if (mode === "connection" && killed === 1 && p99 > budget.p99)
      faults.push(`takeover ${mode}: ${what}: p99 ${p99.toFixed(0)} ms is more than ${budget.p99} ms`);
  }
  return faults;
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
        `takeover ${mode}: the leader is ${deaf}, its connection ${told[loss]}: ${figures(outcomes)}`,
      );
      faults.push(...faultsOf(mode, outcomes));
    }
  }
  return faults;
}

const told = {
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
