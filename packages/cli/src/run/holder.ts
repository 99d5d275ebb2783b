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

import { subscribe } from "node:diagnostics_channel";
import {
  connect,
  createElection,
  type Backend,
  type Election,
  type SessionMessage,
  type Term,
} from "@elect/core";
import { describe } from "../failure.ts";
import { muteExperimentalWarnings } from "../warnings.ts";
import type { CandidateOptions, Order, Report } from "./messages.ts";
import { Tenure } from "./tenure.ts";

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
    await using term = await win(candidate.election);
    if (leaving.signal.aborted) return;
    tenure = new Tenure(term, {
      candidate: candidate.election.id,
      backend: candidate.backend,
      ttl: Math.max(grantedTtl, options.ttl),
      grace: options.grace,
      report,
    });
    await tenure.over;
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
  const election = createElection({
    backend,
    name,
    ttl,
    metadata,
    generation,
    ...(id === null ? {} : { id }),
  });
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
