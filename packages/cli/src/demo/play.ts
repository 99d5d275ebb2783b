/** The demo's candidates on stage: who leads, who led, and what it takes until the next one does. */

import { hostNow } from "../host-clock.ts";
import { Player, type Stage } from "./cast.ts";
import type { Report } from "./messages.ts";
import type { Row, Screen } from "./screen.ts";
import type { Reign, Takeover } from "./verdict.ts";

/** A candidate could not take part. */
export class StageError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

export class Play {
  readonly reigns: Reign[] = [];
  readonly takeovers: Takeover[] = [];
  readonly #stage: Stage;
  readonly #screen: Screen;
  readonly #players: Player[] = [];
  #born = 0;
  #failure: StageError | null = null;
  /** Resolved at each report. */
  #news: PromiseWithResolvers<void> = Promise.withResolvers<void>();

  constructor(stage: Stage, screen: Screen) {
    this.#stage = stage;
    this.#screen = screen;
  }

  rows(): Row[] {
    return this.#players.map(({ id, pid, state, token, since }) => ({ id, pid, state, token, since }));
  }

  /** Starts so many candidates; settles when somebody leads. */
  async begin(candidates: number): Promise<void> {
    for (let started = 0; started < candidates; started++) this.#cast();
    await this.#until(() => this.#players.every(({ state }) => state !== "starting"));
    for (const player of this.#players) player.tell("campaign");
    await this.#until(() => this.#leader() !== null);
  }

  /** Ends the leader's term in the way asked for, and settles when the next one leads. */
  async replace(after: Takeover["after"]): Promise<void> {
    await this.#until(() => this.#leader() !== null);
    const leader = this.#leader();
    const reign = this.reigns.at(-1);
    if (leader === null || reign === undefined) throw new Error("nobody leads");
    const successors = this.reigns.length;
    const from = hostNow();
    if (after === "crash") {
      leader.kill();
      reign.until = from;
      this.#say(`SIGKILL to ${leader.id} (pid ${leader.pid})`, { event: "killed", id: leader.id, at: from });
    } else {
      leader.tell("resign");
      this.#say(`${leader.id} is asked to resign`, { event: "resigns", id: leader.id, at: from });
    }
    await this.#until(() => this.reigns.length > successors && reign.until !== null);
    const next = this.reigns[successors];
    if (next === undefined) throw new Error("nobody leads");
    const ms = Math.round((next.from - from) * 10) / 10;
    this.takeovers.push({ after, ms });
    this.#say(`  taken over after ${ms.toFixed(1)} ms`, { event: "taken-over", after, ms });
    if (after === "resignation") return leader.tell("campaign");
    await leader.exited;
    this.#players.splice(this.#players.indexOf(leader), 1, this.#make());
  }

  /** Ends all processes. */
  async end(): Promise<void> {
    for (const player of this.#players) player.kill();
    await Promise.all(this.#players.map(({ exited }) => exited));
  }

  #cast(): void {
    this.#players.push(this.#make());
  }

  #make(): Player {
    this.#born += 1;
    return new Player(`c${this.#born}`, this.#stage, (player, report) => this.#hear(player, report));
  }

  #hear(player: Player, report: Report): void {
    // What was still on the way when it was killed.
    if (player.state === "killed") return;
    switch (report.kind) {
      case "ready":
        // Those of the first hour begin together; a later one may begin at once.
        player.waits();
        if (this.reigns.length > 0) player.tell("campaign");
        break;
      case "elected": {
        const token = BigInt(report.token);
        this.reigns.push({ id: player.id, token, from: report.at, until: null });
        player.leads(token, report.at);
        this.#say(`${player.id} leads with token ${token}`, {
          event: "elected",
          id: player.id,
          token: report.token,
          at: report.at,
        });
        break;
      }
      case "lost": {
        const reign = this.reigns.find(({ token }) => token === BigInt(report.token));
        if (reign !== undefined) reign.until = report.at;
        player.waits();
        this.#say(`${player.id} leads no more (${report.reason})`, {
          event: "lost",
          id: player.id,
          reason: report.reason,
          at: report.at,
        });
        break;
      }
      case "failed":
        this.#failure = new StageError(report.message, report.exitCode);
    }
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  #leader(): Player | null {
    return this.#players.find(({ state }) => state === "leading") ?? null;
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#failure !== null) throw this.#failure;
      await this.#news.promise;
    }
  }

  #say(words: string, fact: object): void {
    this.#screen.event(words, fact);
  }
}
