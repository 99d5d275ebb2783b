// PG-11: a PostgreSQL that is killed again and again while leaders change: no token comes twice, and none is lower than
// one that was known before its campaign began.
//
//     pnpm --dir integration/servers campaign:postgres-kills [cycles]
import { setTimeout as sleep } from "node:timers/promises";
import { connect, createElection } from "@elect/core";
import { makeEngineReady, type Server } from "../src/index.ts";
import { until } from "./patience.ts";
import { startOwnStore } from "./stores.ts";

const ttl = 3_000;
const candidates = 3;
/** So often the whole container is killed, which takes longer than a crash of which the server recovers by itself. */
const wholly = 50;

interface Won {
  readonly token: bigint;
  /** The highest token that anybody knew when the campaign began. */
  readonly after: bigint;
}

/** Leads, lets go, and so on. */
async function rule(url: string, won: Won[], leaving: AbortSignal): Promise<void> {
  await using backend = await connect(url);
  const election = createElection({ backend, name: "killed", ttl });
  while (!leaving.aborted) {
    const after = highest(won);
    const term = await election.campaign({ signal: leaving }).catch(() => null);
    if (term === null) continue;
    won.push({ token: term.token, after });
    await term.resign();
  }
}

function highest(won: readonly Won[]): bigint {
  return won.reduce((max, { token }) => (token > max ? token : max), 0n);
}

/** What shares memory with a process that was killed is taken down by the server itself, which then recovers from its log. */
const killTheLogWriter =
  'for process in /proc/[0-9]*; do grep -sq "^postgres: walwriter" "$process/cmdline" && kill -9 "${process#/proc/}" && echo hit; done; true';

async function crash(server: Server, cycle: number): Promise<void> {
  if (cycle % wholly === 0) return server.restart();
  // While the server recovers from the last one there is none.
  await until("a log writer is killed", async () =>
    (await server.exec("bash", "-c", killTheLogWriter)).includes("hit") ? true : undefined,
  );
}

/** Settles with the exit code. */
async function main(cycles: number): Promise<number> {
  await makeEngineReady();
  await using store = await startOwnStore("PostgreSQL");
  const won: Won[] = [];
  const leaving = new AbortController();
  const rulers = Array.from({ length: candidates }, async () => rule(store.url, won, leaving.signal));
  for (let cycle = 1; cycle <= cycles; cycle += 1) {
    const before = won.length;
    await until(
      `somebody leads after ${cycle - 1} crashes`,
      () => (won.length < before + candidates ? undefined : true),
      5,
    );
    await sleep(Math.random() * 50);
    await crash(store.server, cycle);
  }
  leaving.abort();
  await Promise.all(rulers);

  // By its own log, so that a kill that hit nothing does not count.
  const recoveries = [...(await store.server.logs()).matchAll(/terminated; reinitializing/g)].length;
  const restarts = Math.floor(cycles / wholly);
  const repeated = won.length - new Set(won.map(({ token }) => token)).size;
  const lower = won.filter(({ token, after }) => token <= after).length;
  console.log(
    `PostgreSQL: killed ${recoveries + restarts} times, ${won.length} terms: ${repeated} tokens came twice, ${lower} were too low`,
  );
  return repeated + lower === 0 && recoveries + restarts === cycles ? 0 : 1;
}

process.exitCode = await main(Number(process.argv[2] ?? 1000));
