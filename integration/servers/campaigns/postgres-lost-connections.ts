// A leader that cannot hear (its process is stopped, or its link silent), and the server drops its connection: is there a
// time at which both it and its successor hold themselves for the leader? In the default mode there must be none; with
// `takeover: "connection"` there is, and its length is measured.
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openFaultProxy, startCandidate, type ChildCandidate, type FaultProxy } from "@elect/testing";
import type { Server } from "../src/index.ts";
import { withPostgres } from "../test/drivers.ts";

export const deafnesses = ["stopped", "silent"] as const;
export const losses = ["nothing", "terminated", "reset", "restarted"] as const;

export interface Ordeal {
  /** Why the leader hears nothing. */
  readonly deaf: (typeof deafnesses)[number];
  /** What becomes of its connection meanwhile. */
  readonly loss: (typeof losses)[number];
}

export interface Outcome extends Ordeal {
  /** From the loss to the successor's election. */
  readonly takenOverMs: number;
  /** From the successor's election to the last time that the old leader held itself for the leader; negative: before it. */
  readonly overlapMs: number;
}

/** How long anything may take on a machine that is busy. */
const patienceMs = 60_000;
/** Enough for the leader to have proven itself a few times, and to be at any point between two proofs. */
const settleMs = 300;

export async function endure(server: Server, url: string, ttl: number, ordeal: Ordeal): Promise<Outcome> {
  const directory = await mkdtemp(join(tmpdir(), "elect-ordeal-"));
  const election = `ordeal-${randomBytes(5).toString("hex")}`;
  await using proxy = await openFaultProxy({ host: "127.0.0.1", port: server.port });
  const through = url.replace(`:${server.port}`, `:${proxy.port}`);
  const application = `leader-${election}`;
  const contend = async (id: string, at: string): Promise<ChildCandidate> =>
    startCandidate({
      url: at,
      adapter: import.meta.resolve("@elect/postgres"),
      election,
      ttl,
      id,
      directory,
    });
  await using leader = await contend("leader", `${through}&application_name=${application}`);
  const token = await within("the first leads", leader.elected());
  await using rival = await contend("rival", url);
  await sleep(settleMs + Math.random() * (ttl / 3));
  try {
    if (ordeal.deaf === "stopped") leader.stop();
    // Nothing is heard from here on; what the leader says until its connection is lost still counts.
    else proxy.silence(ordeal.loss === "reset" ? "down" : "both");
    const since = performance.now();
    await lose(ordeal, server, proxy, application);
    const next = await within("the rival leads", rival.elected(token));
    const takenOverMs = performance.now() - since;
    leader.resume();
    await within("the old leader knows", leader.lost(token));
    const lastly = leader.history().findLast(({ kind, valid }) => kind === "claim" && valid);
    const first = rival.history().find((one) => one.kind === "elected" && one.token === next);
    const overlapMs = ((lastly?.from ?? Number.NaN) - (first?.to ?? Number.NaN)) / 1e6;
    return { ...ordeal, takenOverMs, overlapMs };
  } finally {
    leader.resume();
    await Promise.all([leader.kill(), rival.kill()]);
    await rm(directory, { recursive: true, force: true });
  }
}

async function lose({ loss }: Ordeal, server: Server, proxy: FaultProxy, application: string): Promise<void> {
  switch (loss) {
    case "nothing":
      return;
    case "terminated":
      await withPostgres(server.url, async (client) => {
        await client.query(
          "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1",
          [application],
        );
      });
      return;
    case "reset":
      // Half of it, so that it is the server alone that knows.
      return proxy.halfClose("up");
    case "restarted":
      return server.restart();
  }
}

/** A waiter behind a link that falls silent, then a leader that resigns: the other waiter leads, and the silent one never does. */
export async function blackholeWaiter(server: Server, url: string, ttl: number): Promise<readonly string[]> {
  const directory = await mkdtemp(join(tmpdir(), "elect-ordeal-"));
  const election = `blackhole-${randomBytes(5).toString("hex")}`;
  await using proxy = await openFaultProxy({ host: "127.0.0.1", port: server.port });
  const through = url.replace(`:${server.port}`, `:${proxy.port}`);
  const contend = async (id: string, at: string): Promise<ChildCandidate> =>
    startCandidate({
      url: at,
      adapter: import.meta.resolve("@elect/postgres"),
      election,
      ttl,
      id,
      directory,
    });
  await using leader = await contend("leader", url);
  const token = await within("the first leads", leader.elected());
  await using waiter = await contend("waiter", through);
  await sleep(settleMs);
  await using other = await contend("other", url);
  await sleep(settleMs);
  try {
    proxy.silence();
    await leader.kill();
    const next = await within("the other leads", other.elected(token));
    proxy.heal();
    await sleep(2 * ttl);
    return [
      ...(waiter.terms.length > 0 ? ["a waiter behind a silent link won"] : []),
      ...(other.leads === next ? [] : ["the one that won did not stay the leader"]),
    ];
  } finally {
    await Promise.all([other.kill(), waiter.kill()]);
    await rm(directory, { recursive: true, force: true });
  }
}

async function within<T>(what: string, work: Promise<T>): Promise<T> {
  const alarm = new AbortController();
  const late = sleep(patienceMs, undefined, { signal: alarm.signal }).then(() => {
    throw new Error(`not within ${patienceMs / 1000} s: ${what}`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    late.catch(() => {});
    alarm.abort();
  }
}
