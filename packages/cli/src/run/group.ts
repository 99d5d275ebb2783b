/** A command with all that it has started: a process group, signalled as one. */

import { canScan, membersOf, startOf, type Leader } from "./processes.ts";

/** How often, at most, all processes of the machine are looked through, in ms. */
const scanEvery = 100;

export class Group {
  readonly #mark: string;
  #leader: Leader | null = null;
  #scannedAt = -Infinity;
  #strays = false;

  /** `mark` is what its processes carry in their environment. */
  constructor(mark: string) {
    this.#mark = mark;
  }

  /** The command was started: its process leads a group and a session of their own. */
  lead(leader: Leader): void {
    this.#leader = leader;
  }

  /** Signals the group, in one step that no fork escapes; then the strays that have left it. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    this.#signalGroup(signal);
    // A stopped process hears of SIGTERM only when it goes on.
    if (signal !== "SIGKILL") this.#signalGroup("SIGCONT");
    if (!canScan) return;
    for (const { pid, stray } of await membersOf(this.#current(), this.#mark)) if (stray) send(pid, signal);
  }

  /** Whether no process of it runs any more. */
  async isGone(now: number): Promise<boolean> {
    const leader = this.#current();
    const there = leader !== null && send(-leader.pid, 0);
    if (!canScan) return !there;
    // Those that are there may be zombies whom nobody buries: only /proc tells.
    if ((there || this.#strays) && now - this.#scannedAt < scanEvery) return false;
    this.#scannedAt = now;
    const members = await membersOf(leader, this.#mark);
    this.#strays = members.some(({ stray }) => stray);
    return members.length === 0;
  }

  #signalGroup(signal: NodeJS.Signals): void {
    const leader = this.#current();
    if (leader !== null) send(-leader.pid, signal);
  }

  /**
   * The leader, while the number is the group's. The kernel gives a number away again only when no process, group or
   * session has it any more; so if a process has it that is not our leader, the group is empty.
   */
  #current(): Leader | null {
    if (this.#leader === null) return null;
    const start = startOf(this.#leader.pid);
    return start === null || start === this.#leader.startedAt ? this.#leader : null;
  }
}

/** Whether there was somebody to send it to. */
function send(target: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch (error) {
    // ESRCH: nobody. EPERM: somebody, of another user (it changed its user id).
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
