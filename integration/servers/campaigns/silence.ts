// One round: a leader behind a link that falls silent, and a rival whose link does not. Nothing is closed and nothing
// is forwarded, as when a cable is pulled or a firewall forgets a connection.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { openFaultProxy } from "@elect/testing";
import type { Way } from "./contender.ts";
import { within } from "./patience.ts";

export interface Round {
  readonly ttl: number;
  /** From the end of the old leader's term, as it sees it, to the election of the new one; an overlap is negative. */
  readonly marginMs: number;
  /** The old leader had not given up when the round was over: the overlap is at least so long. */
  readonly open: boolean;
  /** What the old leader answered the instant the new one was elected. */
  readonly oldLeads: boolean;
}

/** `phase` (0 to 1) is when the link falls silent within the time from one proof to the next. */
export async function silentRound(way: Way, url: string, ttl: number, phase: number): Promise<Round> {
  const { hostname, port } = endpointOf(url);
  const election = `silent-${randomBytes(5).toString("hex")}`;
  await using proxy = await openFaultProxy({ host: hostname, port });
  const through = url.replace(`${hostname}:${port}`, `${proxy.host}:${proxy.port}`);
  const holder = await way.contend(through, election, ttl);
  await within(`${way.name}: the first is elected`, holder.elected);
  const rival = await way.contend(url, election, ttl);
  try {
    await sleep(ttl / 3 + (phase * ttl) / 3);
    proxy.silence();
    const watch = setInterval(() => holder.leadsUntil(), 1);
    let oldLeads = false;
    // Asked in the very turn in which the rival holds itself for elected.
    const next = rival.elected.then((at) => ((oldLeads = holder.leads()), at));
    const electedAt = await within(`${way.name}: the rival is elected`, next).finally(() =>
      clearInterval(watch),
    );
    while (holder.leads() && performance.now() < electedAt + ttl) await sleep(1);
    const open = holder.leads();
    const until = Math.min(holder.leadsUntil(), performance.now());
    return { ttl, marginMs: electedAt - until, open, oldLeads };
  } finally {
    proxy.heal();
    await Promise.all([holder[Symbol.asyncDispose](), rival[Symbol.asyncDispose]()]);
  }
}

function endpointOf(url: string): { hostname: string; port: number } {
  const [, hostname, port] = /^\w+:\/\/(?:[^@/]*@)?([^:/,]+):(\d+)/.exec(url) ?? [];
  if (hostname === undefined) throw new Error("the store's URL must name one host and its port");
  return { hostname, port: Number(port) };
}
