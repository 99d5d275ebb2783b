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
import { within } from "./patience.ts";

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

/** Enough for the leader to have proven itself a few times, and to be at any point between two proofs. */
const settleMs = 300;

export async function endure(server: Server, url: string, ttl: number, ordeal: Ordeal): Promise<Outcome> {
  await using stage = await Stage.of(server, url, ttl);
  const { proxy, application } = stage;
  const leader = await stage.contend("leader", `${stage.through}&application_name=${application}`);
  const token = await within("the first leads", leader.elected());
  const rival = await stage.contend("rival", url);
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

/** A waiter behind a link that falls silent, then a leader that is killed: the other waiter leads, and the silent one never does. */
export async function blackholeWaiter(server: Server, url: string, ttl: number): Promise<readonly string[]> {
  await using stage = await Stage.of(server, url, ttl);
  const leader = await stage.contend("leader", url);
  const token = await within("the first leads", leader.elected());
  const waiter = await stage.contend("waiter", stage.through);
  await sleep(settleMs);
  const other = await stage.contend("other", url);
  await sleep(settleMs);
  stage.proxy.silence();
  await leader.kill();
  const next = await within("the other leads", other.elected(token));
  stage.proxy.heal();
  await sleep(2 * ttl);
  return [
    ...(waiter.terms.length > 0 ? ["a waiter behind a silent link won"] : []),
    ...(other.leads === next ? [] : ["the one that won did not stay the leader"]),
  ];
}

/** An election of its own, whose candidates are processes, and a link to the server that can fail. */
class Stage implements AsyncDisposable {
  readonly proxy: FaultProxy;
  /** The server's URL by way of the proxy. */
  readonly through: string;
  readonly election: string = `ordeal-${randomBytes(5).toString("hex")}`;
  /** By which the server knows the leader's connection. */
  readonly application: string = `leader-${this.election}`;
  readonly #ttl: number;
  readonly #parts = new AsyncDisposableStack();
  readonly #directory: string;

  private constructor(proxy: FaultProxy, through: string, ttl: number, directory: string) {
    this.proxy = this.#parts.use(proxy);
    this.through = through;
    this.#ttl = ttl;
    this.#directory = directory;
    this.#parts.defer(async () => rm(directory, { recursive: true, force: true }));
  }

  static async of(server: Server, url: string, ttl: number): Promise<Stage> {
    const proxy = await openFaultProxy({ host: "127.0.0.1", port: server.port });
    const through = url.replace(`:${server.port}`, `:${proxy.port}`);
    return new Stage(proxy, through, ttl, await mkdtemp(join(tmpdir(), "elect-ordeal-")));
  }

  async contend(id: string, url: string): Promise<ChildCandidate> {
    const { election } = this;
    const [ttl, directory] = [this.#ttl, this.#directory];
    const adapter = import.meta.resolve("@elect/postgres");
    return this.#parts.use(await startCandidate({ url, adapter, election, ttl, id, directory }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}
