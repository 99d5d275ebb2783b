/** `elect watch`: a line now, and a line for each change. */

import type { Leader } from "@elect/core";
import { exitCodes } from "./exit-codes.ts";
import { complainOfTrouble, leaderJson, look, withMetadata, type LookOptions } from "./look.ts";
import { signalNumber } from "./signals.ts";

export function watch(options: LookOptions): Promise<number> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => stop.abort(signal));
  complainOfTrouble();
  return look(options, async (election) => {
    try {
      for await (const leader of election.observe({ signal: stop.signal })) {
        const at = new Date().toISOString();
        console.log(
          options.json ? JSON.stringify({ at, leader: leaderJson(leader) }) : `${at}  ${text(leader)}`,
        );
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
    return stop.signal.aborted ? 128 + signalNumber(stop.signal.reason as NodeJS.Signals) : exitCodes.ok;
  });
}

function text(leader: Leader | null): string {
  return leader === null ? "nobody leads" : `token ${leader.token}  ${withMetadata(leader)}`;
}
