/**
 * Which processes belong to a command, as Linux shows them in /proc. A process belongs to it if it is in the process
 * group or session that the command was started in, or carries the mark of this run in its environment: a mark of
 * 128 random bits, inherited by every descendant. So a shell's background jobs and a daemon that calls `setsid` are
 * found; only who both leaves the session *and* clears its environment is not.
 */

import { readdirSync, readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

export const canScan: boolean = process.platform === "linux";

/** The variable that carries the mark; inside another run, after that one's. */
export const markVariable = "ELECT_RUN";

interface Status {
  readonly state: string;
  readonly group: number;
  readonly session: number;
  /** When it started, in clock ticks since boot: with the pid, the identity of a process. */
  readonly startedAt: string;
}

/** After how many processes others get their turn in the event loop, a due SIGKILL for one: well below a millisecond. */
const slice = 16;

export interface Member {
  readonly pid: number;
  /** It has left the process group, and hears no signal that is sent to that. */
  readonly stray: boolean;
}

/** A process group by its leader, who may have ended. */
export interface Leader {
  readonly pid: number;
  /** `null` where it was not seen. */
  readonly startedAt: string | null;
}

/** The living processes that belong to the group or carry the mark. */
export async function membersOf(leader: Leader | null, mark: string): Promise<Member[]> {
  const members: Member[] = [];
  const since = Number(leader?.startedAt ?? 0);
  let seen = 0;
  for (const name of list("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if (++seen % slice === 0) await setImmediate();
    const status = statusOf(pid);
    if (status === null) continue;
    const stray = status.group !== leader?.pid;
    // Who is older than the command is not a descendant of it.
    if (stray && status.session !== leader?.pid && (Number(status.startedAt) < since || !carries(pid, mark)))
      continue;
    if (isLiving(pid, status)) members.push({ pid, stray });
  }
  return members;
}

/** When a process started; `null` if there is none, or nobody shows it. */
export function startOf(pid: number): string | null {
  return canScan ? (statusOf(pid)?.startedAt ?? null) : null;
}

function statusOf(pid: number): Status | null {
  const text = read(`/proc/${pid}/stat`)?.toString("latin1");
  if (text === undefined) return null;
  // The second field is the program's name in brackets, which may hold brackets and blanks of its own.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, , group, session] = fields;
  const startedAt = fields[19];
  if (state === undefined || startedAt === undefined) return null;
  return { state, group: Number(group), session: Number(session), startedAt };
}

/** A zombie runs no more, unless only its first thread has ended. */
function isLiving(pid: number, { state }: Status): boolean {
  if (state === "X") return false;
  return state !== "Z" || list(`/proc/${pid}/task`).length > 1;
}

/** Whether the mark is in the environment that it was started with. Of other users' processes, only root may know. */
function carries(pid: number, mark: string): boolean {
  return read(`/proc/${pid}/environ`)?.includes(mark) === true;
}

function read(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    // It ended this moment, or is not ours to look at.
    return null;
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
