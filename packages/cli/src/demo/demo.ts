/** `elect demo`: four candidates, and a leader that is killed again and again. */

import { connect, InvalidOptionError } from "@elect/core";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { exitCodes } from "../exit-codes.ts";
import { redact } from "../redact.ts";
import { signalNumber } from "../signals.ts";
import { Play, StageError } from "./play.ts";
import { jsonScreen, plainScreen, tableScreen, type Row, type Screen } from "./screen.ts";
import { faults, type Reign, type Takeover } from "./verdict.ts";

export interface DemoOptions {
  /** `null`: SQLite, in a directory of its own. */
  readonly url: string | null;
  readonly json: boolean;
}

const candidates = 4;
const ttl = 2_000;
const acts: readonly Takeover["after"][] = ["crash", "crash", "resignation", "crash"];
/** Between two acts: for the eye to rest. */
const pauseMs = 700;
const limitMs = 20_000;

/** Settles with the exit code. */
export async function demo({ url, json }: DemoOptions): Promise<number> {
  if (url !== null) await assertShared(url);
  const directory = url === null ? mkdtempSync(join(tmpdir(), "elect-demo-")) : null;
  const store = url ?? `sqlite:${String(directory)}`;
  const election = `elect-demo-${randomBytes(4).toString("hex")}`;
  const screen = pick(json, () => play.rows());
  const play = new Play({ url: store, election, ttl, directory }, screen);
  screen.event(
    `${candidates} processes compete for "${election}" on ${directory === null ? redact(store) : "SQLite"}`,
    {
      event: "started",
      election,
    },
  );
  let end: End;
  try {
    end = await Promise.race([perform(play), interruption()]);
  } finally {
    screen.end();
    await play.end();
    if (directory !== null) rmSync(directory, { recursive: true, force: true });
  }
  return conclude(end, play, json);
}

/** Processes have to meet on the store. */
async function assertShared(url: string): Promise<void> {
  await using backend = await connect(url);
  if (backend.capabilities.reach !== "process") return;
  throw new InvalidOptionError(
    "url",
    `The demo starts several processes, and ${backend.address} ends with each of them.`,
  );
}

/** How it came to an end: played through, out of time, interrupted, or not possible. */
type End =
  | { readonly kind: "played" }
  | { readonly kind: "late" }
  | { readonly kind: "interrupted"; readonly signal: NodeJS.Signals }
  | { readonly kind: "failed"; readonly error: StageError };

async function perform(play: Play): Promise<End> {
  try {
    await play.begin(candidates);
    for (const act of acts) {
      await sleep(pauseMs);
      await play.replace(act);
    }
    await sleep(pauseMs);
    return { kind: "played" };
  } catch (error) {
    if (error instanceof StageError) return { kind: "failed", error };
    throw error;
  }
}

function interruption(): Promise<End> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.once(signal, () => resolve({ kind: "interrupted", signal }));
    }
    setTimeout(() => resolve({ kind: "late" }), limitMs).unref();
  });
}

function pick(json: boolean, rows: () => readonly Row[]): Screen {
  if (json) return jsonScreen();
  return process.stdout.isTTY ? tableScreen(rows) : plainScreen();
}

function conclude(end: End, { reigns, takeovers }: Play, json: boolean): number {
  switch (end.kind) {
    case "interrupted":
      return 128 + signalNumber(end.signal);
    case "failed":
      process.stderr.write(`elect: ${end.error.message}\n`);
      return end.error.exitCode;
    case "late":
    case "played":
  }
  const wrong = faults(reigns, takeovers);
  if (end.kind === "late") wrong.push(`it was not over after ${limitMs / 1000} s`);
  if (json) console.log(JSON.stringify(summary(wrong, reigns, takeovers)));
  else console.log(wrong.length === 0 ? praise(reigns, takeovers) : `failed: ${wrong.join("; ")}`);
  return wrong.length === 0 ? exitCodes.ok : exitCodes.no;
}

function summary(wrong: readonly string[], reigns: readonly Reign[], takeovers: readonly Takeover[]): object {
  return {
    event: "summary",
    ok: wrong.length === 0,
    wrong,
    takeovers,
    tokens: reigns.map(({ token }) => String(token)),
  };
}

function praise(reigns: readonly Reign[], takeovers: readonly Takeover[]): string {
  const times = (after: Takeover["after"]): string[] =>
    takeovers.filter((takeover) => takeover.after === after).map(({ ms }) => ms.toFixed(1));
  const [crashes, resignations] = [times("crash"), times("resignation")];
  return (
    `ok: ${crashes.length} crashes taken over in ${crashes.join(", ")} ms; ` +
    `${resignations.length} resignation handed over in ${resignations.join(", ")} ms; ` +
    `tokens ${reigns.map(({ token }) => token).join(" < ")}; never two leaders at once`
  );
}
