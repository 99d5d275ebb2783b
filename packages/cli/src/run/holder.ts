/**
 * The process of `elect run` that campaigns and holds the session with the store. Started by the foreground process,
 * whose child the command is; each watches the other, and each alone can end the command before its term is over:
 *
 * - the foreground process is gone (its end of the channel closes): we end the command, then give the term back;
 * - it is stopped, or hangs: it confirms no deadline, and what it has not confirmed does not count here;
 * - we are gone, or stopped, or cut off: it ends the command by the last deadline that it heard of.
 *
 * See decisions/0001-two-processes.md.
 */

import { createHash, randomBytes } from "node:crypto";
import { subscribe } from "node:diagnostics_channel";
import { connect, createElection, type Backend, type Election, type SessionMessage, type Term } from "@elect/core";
import { describe } from "../failure.ts";
import { hostNow } from "../host-clock.ts";
import { muteExperimentalWarnings } from "../warnings.ts";
import { removeDirectory } from "./deadline-file.ts";
import { Group } from "./group.ts";
import type { CandidateOptions, Mark, Order, Report } from "./messages.ts";
import { Reaper } from "./reaper.ts";
import { killMargin, lossGrace } from "./timing.ts";

muteExperimentalWarnings();
// The foreground process hears the signals. This one is alone in its session, and dies when its work is done.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

const leaving = new AbortController();
let candidate: Candidate | null = null;
let tenure: Tenure | null = null;
/** One campaign, with the term that it won, after the other. */
let work: Promise<void> = Promise.resolve();

process.on("message", (order: Order) => {
  switch (order.kind) {
    case "campaign":
      work = work.then(() => campaign(order.candidate));
      return;
    case "leave":
      return leave();
    case "started":
    case "extended":
    case "ended":
      return tenure?.hear(order);
  }
});
process.on("disconnect", () => {
  tenure?.alone();
  leave();
});

interface Candidate {
  readonly backend: Backend;
  readonly election: Election;
}

/** Campaigns, and holds the term until the command is gone. */
async function campaign(options: CandidateOptions): Promise<void> {
  try {
    candidate ??= await join(options);
    const term = await win(candidate.election);
    tenure = new Tenure(term, candidate, options);
    await tenure.over;
    await term.resign();
  } catch (error) {
    if (!leaving.signal.aborted) report({ kind: "failed", ...describe(error) });
  } finally {
    tenure = null;
  }
}

async function win(election: Election): Promise<Term> {
  for (;;) {
    const term = await election.campaign({ signal: leaving.signal });
    // It may have taken us longer to wake up than the term lasted.
    if (term.isValid()) return term;
    await term.resign();
  }
}

async function join(options: CandidateOptions): Promise<Candidate> {
  const { url, election: name, id, ttl, metadata, generation } = options;
  const backend = await connect(url);
  const election = createElection({ backend, name, ttl, metadata, generation, ...(id === null ? {} : { id }) });
  election.on("trouble", ({ error }) => report({ kind: "trouble", message: describe(error).message }));
  return { backend, election };
}

function leave(): void {
  leaving.abort(new Error("nobody is left to run a command for"));
  // With a term, the way out leads through its end.
  void work.then(exit);
}

async function exit(): Promise<void> {
  await candidate?.election.close();
  await candidate?.backend.close();
  process.exit(0);
}

function report(message: Report): void {
  if (process.connected) process.send?.(message, () => {});
}

/** The TTL of the session as the store has granted it. */
let grantedTtl = 0;
subscribe("elect:session", (message) => {
  const { event, ttl } = message as SessionMessage;
  if (event === "opened") grantedTtl = ttl;
});
subscribe("elect:proof", () => tenure?.extend());

/** One term, from the win to the end of all that was started under it. */
class Tenure {
  /** Settles when nothing runs under the term, and nothing can be started under it. */
  readonly over: Promise<void>;
  readonly #term: Term;
  readonly #group: Group;
  /** Lives by what the foreground process has confirmed, and strikes a little later than it does. */
  readonly #reaper: Reaper;
  readonly #grace: number;
  readonly #tick: NodeJS.Timeout;
  #deadline: number;
  #directory: string | null = null;
  #ended = false;

  constructor(term: Term, { backend, election }: Candidate, options: CandidateOptions) {
    const ttl = Math.max(grantedTtl, options.ttl);
    const mark = markOf(backend.address, election.name);
    this.#term = term;
    this.#grace = lossGrace(options.grace, ttl);
    this.#group = new Group(mark.text);
    this.#deadline = deadlineOf(term);
    this.#reaper = new Reaper(this.#group, {
      deadline: this.#deadline,
      grace: this.#grace,
      margin: killMargin(ttl) / 2,
    });
    this.over = this.#reaper.gone;
    term.signal.addEventListener("abort", () => this.#lost(), { once: true });
    // The net under the proofs; and what notices first that the machine was asleep.
    this.#tick = setInterval(() => this.extend(), ttl / 10);
    void this.over.then(() => this.#end());
    report({
      kind: "elected",
      win: {
        candidate: election.id,
        store: backend.address,
        token: String(term.token),
        fence: term.fence,
        ttl,
        deadline: this.#deadline,
        mark,
        crashHandsOver: backend.capabilities.crash.ttls < 1,
      },
    });
  }

  /** Tells the foreground process until when the term can now be relied on. */
  extend(): void {
    const deadline = deadlineOf(this.#term);
    if (this.#ended || !this.#term.isValid() || deadline <= this.#deadline) return;
    this.#deadline = deadline;
    report({ kind: "extend", deadline });
  }

  hear(order: Order & { kind: "started" | "extended" | "ended" }): void {
    switch (order.kind) {
      case "started":
        this.#directory = order.directory;
        return this.#group.lead(order.leader);
      case "extended":
        return this.#reaper.extend(order.deadline);
      case "ended":
        return this.#reaper.dismiss();
    }
  }

  /** The foreground process is gone: what it started is ended by us. */
  alone(): void {
    const directory = this.#directory;
    if (directory !== null) void this.over.then(() => removeDirectory(directory));
    this.#reaper.end(this.#grace);
  }

  #end(): void {
    this.#ended = true;
    clearInterval(this.#tick);
  }

  /** The term is over: no grace is left. */
  #lost(): void {
    if (this.#ended) return;
    const reason = this.#term.signal.reason as { readonly reason?: string };
    report({ kind: "lost", reason: reason.reason ?? "closed" });
    this.#reaper.kill();
  }
}

function markOf(store: string, election: string): Mark {
  const family = createHash("sha256").update(`${store}\0${election}`).digest("hex").slice(0, 32);
  return { family, text: `${family}.${randomBytes(16).toString("hex")}` };
}

/** Read in this order, it can only err on the early side. */
function deadlineOf(term: Term): number {
  const now = hostNow();
  return now + term.remaining();
}
