// One candidate: it campaigns, leads for a while, resigns, campaigns again, and writes down what it claims meanwhile.
import { setTimeout as sleep } from "node:timers/promises";
import type { Election, Term } from "@elect/core";
import type { HistoryLog } from "@elect/testing";
import { hostNow } from "./figures.ts";
import { account, say } from "./outage-reports.ts";

/** How long it leads before it resigns; short enough that outages meet every state. */
const tenure = { least: 500, most: 4_000 };

export class Candidate {
  readonly election: Election;
  readonly #log: HistoryLog;
  readonly #closing: AbortSignal;
  /** The last term, also after its end: an old term must go on saying that it is over. */
  #term: Term | null = null;
  #campaignSince = 0;

  constructor(election: Election, log: HistoryLog, closing: AbortSignal) {
    this.election = election;
    this.#log = log;
    this.#closing = closing;
    election.on("elected", ({ term }) => this.#elected(term));
    election.on("lost", ({ term }) => {
      this.#campaignSince = now();
      this.#note("lost", term.token);
    });
    election.on("trouble", () => (account.troubles += 1));
  }

  get leads(): boolean {
    return this.#term?.isValid() ?? false;
  }

  async campaign(): Promise<void> {
    while (!this.#closing.aborted) {
      this.#campaignSince = now();
      this.#note("campaign", 0n);
      await this.election.run(async ({ signal }) => {
        const ms = tenure.least + Math.random() * (tenure.most - tenure.least);
        await sleep(ms, undefined, { signal }).catch(() => {});
      });
    }
  }

  claim(): void {
    const term = this.#term;
    if (term === null) return;
    const from = now();
    const valid = term.isValid();
    this.#log.write("claim", from, now(), term.token, valid);
  }

  async close(): Promise<void> {
    await this.election.close();
    this.claim();
    this.#term = null;
    this.#note("closed", 0n);
    this.#log.close();
  }

  #elected(term: Term): void {
    account.terms += 1;
    this.#term = term;
    this.#log.write("elected", this.#campaignSince, now(), term.token, false);
    term.signal.addEventListener("abort", () => this.#note("aborted", term.token), { once: true });
    this.claim();
    say({ said: "leads", elections: [this.election.name], at: hostNow() });
  }

  #note(kind: "campaign" | "aborted" | "lost" | "closed", token: bigint): void {
    this.#log.write(kind, now(), now(), token, false);
  }
}

/** Histories count in nanoseconds. */
function now(): number {
  return hostNow() * 1e6;
}
