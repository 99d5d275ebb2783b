/** The command of one term, as the foreground process runs it: its parent, who ends it when told, or when time is up. */

import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { hostNow } from "../host-clock.ts";
import { DeadlineFile } from "./deadline-file.ts";
import { Group } from "./group.ts";
import type { Win } from "./messages.ts";
import { canScan, markVariable, membersOf, startOf, type Leader } from "./processes.ts";
import { Reaper } from "./reaper.ts";
import { killMargin, lossGrace } from "./timing.ts";

export interface CommandLine {
  readonly file: string;
  readonly arguments: readonly string[];
  readonly election: string;
  /** How long it may take to stop, in ms. */
  readonly grace: number;
}

/** How the command's own process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `null`: the signal has aborted, or there is no time left to start it. Rejects when the system cannot start it. */
export async function startCommand(
  line: CommandLine,
  win: Win,
  signal: AbortSignal,
): Promise<Command | null> {
  const schedule = {
    deadline: win.deadline,
    grace: lossGrace(line.grace, win.ttl),
    margin: killMargin(win.ttl),
  };
  const latest = schedule.deadline - schedule.margin - schedule.grace;
  const canStart = (): boolean => !signal.aborted && hostNow() < latest;
  if (win.crashHandsOver) await predecessorGone(win.mark.family, canStart);
  const group = new Group(win.mark.text);
  const file = new DeadlineFile(win.directory, win.deadline);
  // The last look at the clock before the effect; what follows takes a millisecond.
  if (!canStart()) return null;
  const child = spawn(line.file, line.arguments, {
    // A session and a process group of its own.
    detached: true,
    stdio: "inherit",
    env: { ...process.env, ...environment(line, win, file) },
  });
  if (child.pid === undefined) {
    throw await new Promise((resolve) => child.once("error", resolve));
  }
  child.on("error", () => {});
  const leader = { pid: child.pid, startedAt: startOf(child.pid) };
  group.lead(leader);
  return new Command({ child, leader, reaper: new Reaper(group, schedule), file, grace: line.grace });
}

interface CommandParts {
  readonly child: ChildProcess;
  readonly leader: Leader;
  readonly reaper: Reaper;
  readonly file: DeadlineFile;
  readonly grace: number;
}

export class Command {
  readonly leader: Leader;
  /** Settles when it and all that it has started are gone. */
  readonly ended: Promise<Exit>;
  readonly #reaper: Reaper;
  readonly #file: DeadlineFile;
  readonly #grace: number;
  #toldToEnd = false;

  constructor({ child, leader, reaper, file, grace }: CommandParts) {
    this.leader = leader;
    this.#reaper = reaper;
    this.#file = file;
    this.#grace = grace;
    this.ended = this.#end(child);
  }

  /** Whether it was not its own will to end. */
  get wasEnded(): boolean {
    return this.#toldToEnd;
  }

  extend(deadline: number): void {
    this.#reaper.extend(deadline);
    this.#file.update(deadline);
  }

  /** Tells it to stop, and sees to it that it does. */
  end(): void {
    this.#toldToEnd = true;
    this.#reaper.end(this.#grace);
  }

  kill(): void {
    this.#toldToEnd = true;
    this.#reaper.kill();
  }

  async #end(child: ChildProcess): Promise<Exit> {
    const exit = await new Promise<Exit>((resolve) => {
      child.once("exit", (code, signal) => resolve({ code, signal }));
    });
    this.#toldToEnd ||= this.#reaper.ending;
    // Whatever it left behind ends with it.
    this.#reaper.end(this.#grace);
    await this.#reaper.gone;
    this.#file.remove();
    return exit;
  }
}

/**
 * On a store that hands over the moment a holder is killed, its command may live for some milliseconds more, until its
 * foreground process has heard of it. On the same host that can be seen, and waited for.
 */
async function predecessorGone(family: string, canStart: () => boolean): Promise<void> {
  while (canScan && canStart() && (await membersOf(null, family)).length > 0) await sleep(10);
}

/** See the table in the README. */
function environment({ election }: CommandLine, win: Win, file: DeadlineFile): Record<string, string> {
  const outer = process.env[markVariable];
  return {
    ELECT_ELECTION: election,
    ELECT_CANDIDATE: win.candidate,
    ELECT_STORE: win.store,
    ELECT_TOKEN: win.token,
    ELECT_FENCE: win.fence,
    ELECT_TTL: String(win.ttl),
    ELECT_DEADLINE_FILE: file.path,
    [markVariable]: outer === undefined ? win.mark.text : `${outer} ${win.mark.text}`,
  };
}
