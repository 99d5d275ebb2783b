/** One candidate of the demo, in a process of its own. It lives no longer than the demo. */

import { existsSync, rmSync } from "node:fs";
import { connect, createElection, type Term } from "@elect/core";
import { describe } from "../failure.ts";
import { hostNow } from "../host-clock.ts";
import { muteExperimentalWarnings } from "../warnings.ts";
import type { Stage } from "./cast.ts";
import type { Order, Report } from "./messages.ts";

muteExperimentalWarnings();
const {
  url,
  election: name,
  ttl,
  directory,
  id,
} = JSON.parse(process.argv[2] ?? "") as Stage & { readonly id: string };

// Whatever ends the demo ends the channel; and Ctrl-C, which reaches us too, is for the demo to hear.
process.on("SIGINT", () => {});
process.on("disconnect", () => {
  if (directory !== null) remove(directory);
  process.exit();
});

try {
  const backend = await connect(url);
  const election = createElection({ backend, name, id, ttl, metadata: { pid: process.pid } });
  let term: Term | null = null;
  election.on("elected", (event) => {
    ({ term } = event);
    report({ kind: "elected", token: String(term.token), at: hostNow() });
  });
  election.on("lost", ({ term: { token }, reason }) => {
    report({ kind: "lost", token: String(token), reason, at: hostNow() });
    // Lost against our will: try again.
    if (reason !== "resigned") void campaign();
  });
  const campaign = async (): Promise<void> => void (await election.campaign().catch(fail));
  process.on("message", ({ kind }: Order) => {
    if (kind === "campaign") void campaign();
    else void term?.resign();
  });
  report({ kind: "ready" });
} catch (error) {
  fail(error);
}

function report(message: Report): void {
  // An error means that the demo is no more, of which `disconnect` is about to tell.
  process.send?.(message, () => {});
}

function fail(error: unknown): void {
  report({ kind: "failed", ...describe(error) });
}

/** The others, who remove it too, may be writing to it until they do. */
function remove(path: string): void {
  for (let attempts = 0; existsSync(path) && attempts < 100; attempts++) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // Somebody was quicker with a file, or slower.
    }
  }
}
