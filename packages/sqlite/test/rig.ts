/** What the tests of this package share: directories, sessions at port level, and other processes that have some. */

import { fork, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type {
  Call,
  Claim,
  ClaimAnswer,
  ClaimRequest,
  Proof,
  Session,
  SessionEvents,
} from "@elect/core/adapter";
import { onTestFinished } from "vitest";
import { SqliteAdapter, type Host } from "../src/adapter.ts";
import type { SqliteOptions } from "../src/options.ts";
import type { Reply, Request } from "./process.ts";

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "elect-sqlite-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export function call(timeoutMs = 5_000): Call {
  return { signal: new AbortController().signal, timeoutMs };
}

export function nonce(): string {
  return randomBytes(16).toString("hex");
}

export interface Heard {
  readonly hints: (string | null)[];
  readonly lost: Claim[];
  readonly ended: string[];
}

function listen(): { events: SessionEvents; heard: Heard } {
  const heard: Heard = { hints: [], lost: [], ended: [] };
  return {
    heard,
    events: {
      hint: (election) => void heard.hints.push(election),
      doubt: () => {},
      lost: (claim) => void heard.lost.push(claim),
      ended: (reason) => void heard.ended.push(reason),
    },
  };
}

export function adapterOn(options: SqliteOptions | string, host?: Host): SqliteAdapter {
  const adapter = new SqliteAdapter(options, host);
  onTestFinished(() => adapter.close());
  return adapter;
}

export async function openSession(
  adapter: SqliteAdapter,
  ttlMs = 10_000,
): Promise<Session & { readonly heard: Heard }> {
  const { events, heard } = listen();
  const session = await adapter.open({ ttlMs, nonce: nonce(), events }, call());
  onTestFinished(() => session.abandon());
  return Object.assign(session, { heard });
}

export function request(election: string, id = "candidate", own = nonce()): ClaimRequest {
  return { election, nonce: own, candidate: { id, metadata: "{}" }, unchanged: null };
}

/** One election, one answer. */
export async function claim(session: Session, bid: ClaimRequest): Promise<ClaimAnswer> {
  const [answer] = await session.claim([bid], call());
  if (answer === undefined) throw new Error("no answer");
  return answer;
}

export async function win(session: Session, bid: ClaimRequest): Promise<bigint> {
  const answer = await claim(session, bid);
  if (answer.kind !== "granted") throw new Error(`not granted: ${answer.kind}`);
  return answer.token;
}

export function held(...claims: Claim[]): ReadonlyMap<string, Claim> {
  return new Map(claims.map((each) => [each.nonce, each]));
}

export function prove(session: Session, ...claims: Claim[]): Promise<Proof> {
  return session.prove(held(...claims), call());
}

/** Looks into the database as somebody with access to the directory could: through SQLite, never through a plain handle. */
export function peek<T>(directory: string, work: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(join(directory, "elect.db"));
  try {
    database.exec("pragma journal_mode = truncate; pragma busy_timeout = 2000");
    return work(database);
  } finally {
    database.close();
  }
}

/** Waits, as core's poll does, until there is something to claim. */
export async function untilNews(session: Session, limitMs = 5_000): Promise<void> {
  const start = performance.now();
  while (session.poll?.look(new Map()).length === 0) {
    if (performance.now() - start > limitMs) throw new Error("no news");
    await new Promise((resolve) => setTimeout(resolve, session.poll?.everyMs));
  }
}

export interface Place {
  /** A program that runs the process in another place: `["unshare", "--pid", …]`. */
  readonly wrapper?: readonly string[];
  /** The user to run as. */
  readonly uid?: number;
}

/** Another process with one session. */
export class OtherProcess {
  readonly child: ChildProcess;
  readonly #replies = new Map<number, (reply: Reply) => void>();
  #requests = 0;

  constructor(directory: string, mode: "lock" | "lease" = "lock", { wrapper = [], uid }: Place = {}) {
    const flags = ["--conditions=@elect/source", "--disable-warning=ExperimentalWarning"];
    const [program, ...rest] = [...wrapper, process.execPath];
    this.child = fork(new URL("./process.ts", import.meta.url), [directory, mode], {
      execPath: program,
      execArgv: [...rest, ...flags],
      serialization: "advanced",
      ...(uid === undefined ? {} : { uid }),
    });
    this.child.on("message", (message) => {
      const reply = message as Reply;
      this.#replies.get(reply.to)?.(reply);
      this.#replies.delete(reply.to);
    });
    onTestFinished(() => this.kill());
  }

  static async withSession(
    directory: string,
    ttlMs = 10_000,
    mode: "lock" | "lease" = "lock",
  ): Promise<OtherProcess> {
    const other = new OtherProcess(directory, mode);
    await other.ask({ kind: "open", ttlMs });
    return other;
  }

  async ask(request: Request): Promise<unknown> {
    const reply = await new Promise<Reply>((resolve, reject) => {
      const to = ++this.#requests;
      this.#replies.set(to, resolve);
      this.child.send({ to, request });
      this.child.once("exit", () => reject(new Error("the process is gone")));
    });
    if (!reply.ok) throw Object.assign(new Error(reply.message), { code: reply.code });
    return reply.value;
  }

  async claim(bid: ClaimRequest): Promise<ClaimAnswer> {
    const [answer] = (await this.ask({ kind: "claim", requests: [bid] })) as ClaimAnswer[];
    if (answer === undefined) throw new Error("no answer");
    return answer;
  }

  async win(bid: ClaimRequest): Promise<bigint> {
    const answer = await this.claim(bid);
    if (answer.kind !== "granted") throw new Error(`not granted: ${answer.kind}`);
    return answer.token;
  }

  async prove(...claims: Claim[]): Promise<Proof> {
    return (await this.ask({ kind: "prove", held: claims })) as Proof;
  }

  stop(): void {
    this.child.kill("SIGSTOP");
  }

  go(): void {
    this.child.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await gone;
  }
}
