/**
 * The program of a child process that is a candidate: {@link startCandidate} spawns it. It campaigns for ever, notes
 * a few hundred times a second whether it holds itself for the leader, and does as it is told.
 */

import { connect, createElection, type Backend, type Election, type Term } from "@elect/core";
import type { CandidateOptions, Order, Report } from "./candidate-protocol.ts";
import { HistoryLog } from "./history.ts";
import { hostNow } from "./wait.ts";

/** Shorter ones happen to every process, and cost no term; in ms. */
const longPause = 100;

class Candidate {
  readonly #options: CandidateOptions;
  readonly #backend: Backend;
  readonly #election: Election;
  readonly #log: HistoryLog;
  readonly #claims: NodeJS.Timeout;
  /** The last term, also after its end: an old term must go on saying that it is over. */
  #term: Term | null = null;
  /** What the unsafe variant goes by. */
  #flag = false;
  #endWork: () => void = () => {};
  #campaignSince = 0;
  #looked: number = performance.now();
  #closing = false;

  constructor(options: CandidateOptions, backend: Backend) {
    this.#options = options;
    this.#backend = backend;
    this.#log = new HistoryLog(options.log);
    this.#election = createElection({
      backend,
      name: options.election,
      ttl: options.ttl,
      id: options.id,
      ...(options.metadata === undefined ? {} : { metadata: options.metadata }),
    });
    this.#election.on("elected", ({ term }) => this.#elected(term));
    this.#election.on("lost", ({ term, reason }) => {
      this.#flag = false;
      this.#campaignSince = hostNow();
      this.#note("lost", term.token);
      say({ said: "lost", token: term.token, reason });
    });
    this.#election.on("trouble", ({ error }) => say({ said: "trouble", message: String(error) }));
    this.#claims = setInterval(() => {
      this.#look();
      this.#claim();
    }, options.claimEveryMs ?? 2);
  }

  async campaign(): Promise<void> {
    while (!this.#closing) {
      this.#campaignSince = hostNow();
      this.#note("campaign", 0n);
      await this.#election
        .run(async (term) => {
          const resigned = new Promise<void>((resolve) => (this.#endWork = resolve));
          const stopped = new Promise<void>((resolve) =>
            term.signal.addEventListener("abort", () => resolve()),
          );
          await Promise.race([resigned, ...(term.signal.aborted ? [] : [stopped])]);
        })
        .catch((error: unknown) => {
          if (!this.#closing) throw error;
        });
    }
  }

  obey(order: Order): void {
    switch (order.do) {
      case "stall":
        return this.#stall(order.ms);
      case "resign":
        return this.#endWork();
      case "jump-wall-clock":
        return jumpWallClock(order.byMs, order.everyMs);
      case "close":
        return void this.#close();
      case "exit":
        process.exit(0);
        break;
      case "throw":
        setImmediate(() => {
          throw new Error("an exception nobody catches, as ordered");
        });
        return;
    }
  }

  #elected(term: Term): void {
    this.#term = term;
    this.#flag = true;
    this.#log.write("elected", this.#campaignSince, hostNow(), term.token, false);
    term.signal.addEventListener("abort", () => this.#note("aborted", term.token), { once: true });
    this.#claim();
    say({ said: "elected", token: term.token });
  }

  /** Keeps the event loop busy, and then asks in the very first statement. */
  #stall(ms: number): void {
    const until = hostNow() + ms * 1e6;
    while (hostNow() < until);
    this.#claim();
    say({ said: "stalled" });
  }

  #look(): void {
    const ms = performance.now() - this.#looked;
    this.#looked = performance.now();
    if (ms > longPause) say({ said: "stood-still", ms });
  }

  #claim(): void {
    const term = this.#term;
    if (term === null) return;
    const from = hostNow();
    const valid = this.#options.unsafe === true ? this.#flag : term.isValid();
    this.#log.write("claim", from, hostNow(), term.token, valid);
  }

  #note(kind: "campaign" | "aborted" | "lost" | "closed", token: bigint): void {
    const now = hostNow();
    this.#log.write(kind, now, now, token, false);
  }

  async #close(): Promise<void> {
    this.#closing = true;
    const { remains } = await this.#election.close();
    await this.#backend.close();
    this.#note("closed", 0n);
    clearInterval(this.#claims);
    this.#log.close();
    process.removeAllListeners("disconnect");
    say({ said: "closed", remains: remains.map(({ because }) => because) });
    // From here on nothing but what the library left behind can keep the process alive.
    process.disconnect();
  }
}

function say(report: Report): void {
  if (process.connected) process.send?.(report);
}

const wallClock = Date.now.bind(Date);
let jumps: NodeJS.Timeout | undefined;

/** Makes the time of day jump forth and back. No decision may depend on it (hazard G-15). `everyMs` 0 ends it. */
function jumpWallClock(byMs: number, everyMs: number): void {
  clearInterval(jumps);
  let offset = 0;
  Date.now = () => wallClock() + offset;
  if (everyMs > 0) jumps = setInterval(() => (offset = offset === byMs ? -byMs : byMs), everyMs).unref();
}

async function connectTo(options: CandidateOptions): Promise<Backend> {
  if (options.adapter === undefined) return connect(options.url);
  const adapter = (await import(options.adapter)) as { fromUrl(url: string): Backend };
  return adapter.fromUrl(options.url);
}

// The parent is gone: so is the reason to be.
process.once("disconnect", () => process.exit(1));
const options = JSON.parse(process.argv[2] ?? "{}") as CandidateOptions;
const candidate = new Candidate(options, await connectTo(options));
process.on("message", (order: Order) => candidate.obey(order));
say({ said: "ready" });
void candidate.campaign();
