/** One simulated history: a store, some processes that compete for some elections, and everything that can go wrong. */

import { Chance } from "./chance.ts";
import { Checker } from "./checker.ts";
import { Member } from "./member.ts";
import { nemeses } from "./nemeses.ts";
import { storeKind } from "./store-kind.ts";
import { Store } from "./store.ts";
import { Timeline } from "./timeline.ts";

/** How long things go wrong, and how long all is well in the end, in TTLs. */
const stormy = 30;
const calm = 10;

/** Several times what the busiest history needs. */
const mostSteps = 50_000;

export class World {
  readonly timeline: Timeline;
  readonly store: Store;
  readonly checker: Checker;
  readonly ttl: number;
  readonly elections: readonly string[] = ["report", "cleaner"];
  readonly trace: string[] = [];
  readonly faults: Map<string, number>;
  members: Member[] = [];
  storeIsUp = true;
  readonly #chance: Chance;
  readonly #undo = new Set<() => void>();
  /** C6 by itself or with the checker's help: where nobody looks, expiry must be noticed by core's own timers. */
  readonly #looks: number;
  readonly #closing = new Set<Member>();
  #incarnations = 0;
  steps = 0;

  constructor(seed: number, faults: Map<string, number>) {
    this.faults = faults;
    const chance = new Chance(seed);
    this.#chance = chance;
    this.ttl = chance.of([1_000, 3_000, 10_000]);
    this.#looks = chance.of([1, 1, 0.05]);
    const shuffle = chance.fork();
    this.timeline = new Timeline(() => shuffle.next());
    this.checker = new Checker(this.timeline);
    this.store = new Store(storeKind(chance, this.ttl), this.timeline, chance.fork(), (election, token) =>
      this.checker.freed(election, token),
    );
    const count = chance.whole(3, 5);
    for (let index = 0; index < count; index++) this.#add();
  }

  /** Answers with the first violation, or null. */
  async run(): Promise<string | null> {
    const step = (): void => {
      if (++this.steps > mostSteps) this.checker.fail("P11: something runs hot");
      if (this.#chance.hits(this.#looks)) this.checker.look();
      if (this.checker.violation !== null) throw new Error(this.checker.violation);
    };
    try {
      this.#strikeLater();
      await this.timeline.run(stormy * this.ttl, step);
      this.#calmDown();
      await this.timeline.run((stormy + calm) * this.ttl, step);
      for (const election of this.elections) {
        if (this.checker.leaders(election) !== 1) this.checker.fail(`C5: nobody leads in ${election}`);
      }
      await this.#goHome(step);
    } catch (error) {
      if (this.checker.violation === null) throw error;
    }
    return this.checker.violation;
  }

  stop(member: Member, ms: number): void {
    this.note(`${member.name} stops for ${ms.toFixed(0)} ms`);
    this.timeline.stop(member, ms, () => this.checker.lookAfterStop(member));
  }

  crash(member: Member): void {
    member.dead = true;
    this.checker.crashed(member);
    for (const election of this.elections) this.checker.workEnded(member.name, election);
    this.#replace(member);
  }

  close(member: Member): void {
    if (member.closing) return;
    this.note(`${member.name} is closed: ${member.candidates.map(({ state }) => state).join()}`);
    void this.#closed(member);
    this.#replace(member);
  }

  robbed(election: string, token: bigint): void {
    // Noticed by the next proof that arrives, or by the deadline if none does.
    this.checker.robbed(election, token, this.ttl * this.store.kind.generosity);
  }

  note(line: string): void {
    if (this.trace.push(`${this.timeline.now.toFixed(3)} ${line}`) > 2_000) this.trace.splice(0, 1_000);
  }

  #add(): void {
    const member = new Member(
      `p${++this.#incarnations}`,
      {
        timeline: this.timeline,
        store: this.store,
        checker: this.checker,
        storeIsUp: () => this.storeIsUp,
        elections: this.elections,
        ttl: this.ttl,
        note: (line) => this.note(line),
      },
      this.#chance.fork(),
    );
    this.members.push(member);
  }

  /** Another incarnation of the process, some time later. */
  #replace(member: Member): void {
    this.members = this.members.filter((other) => other !== member);
    this.timeline.in(this.#chance.between(0, this.ttl), null, () => this.#add());
  }

  #strikeLater(): void {
    const { timeline, ttl } = this;
    timeline.in(this.#chance.between(0.05, 1.2) * ttl, null, () => {
      if (timeline.now > (stormy - 1) * ttl) return;
      this.#strike();
      this.#strikeLater();
    });
  }

  #strike(): void {
    const chance = this.#chance;
    if (this.members.length === 0) return;
    // First a phase, then somebody who is in it: most are waiting, most of the time.
    const phases = new Map<string, Member[]>();
    for (const member of this.members) {
      for (const { state } of member.candidates) phases.set(state, [...(phases.get(state) ?? []), member]);
    }
    const target = chance.of(chance.of([...phases.values()]));
    const [name, nemesis] = chance.of(
      Object.entries(nemeses).filter(([, { applies }]) => applies?.(this) ?? true),
    );
    this.note(`--- ${name} (${target.name})`);
    for (const phase of new Set(target.candidates.map((candidate) => candidate.state))) {
      const key = `${name} × ${phase}`;
      this.faults.set(key, (this.faults.get(key) ?? 0) + 1);
    }
    const undo = nemesis.strike(this, target, chance);
    if (undo === undefined) return;
    this.#undo.add(undo);
    this.timeline.in(chance.between(0.05, 2.5) * this.ttl, null, () => {
      this.note(`--- end of ${name} (${target.name})`);
      this.#undo.delete(undo);
      undo();
    });
  }

  #calmDown(): void {
    this.note("--- calm");
    for (const undo of this.#undo) undo();
    this.storeIsUp = true;
    for (const member of this.members) {
      member.link.heal();
      member.calm = true;
    }
  }

  /** C7: in good weather, everybody goes home in bounded time and leaves nothing. */
  async #goHome(step: () => void): Promise<void> {
    const everybody = this.members;
    for (const member of everybody) this.timeline.in(0, member, () => void this.#closed(member));
    await this.timeline.run(this.timeline.now + 20 * this.ttl + 20_000, step);
    for (const member of this.#closing) this.checker.fail(`G-11: close() of ${member.name} has not settled`);
    for (const { name, clock, adapter } of everybody) {
      if (clock.timers > 0) this.checker.fail(`C7: ${name} is closed and left ${clock.timers} timers`);
      const sessions = new Set(adapter.sessions.keys());
      const { held, queued } = this.store.leftBy(sessions);
      const left = [...held, ...queued];
      if (left.length > 0) this.checker.fail(`C7: ${name} is closed and left ${left.join()} in the store`);
    }
    if (this.checker.violation !== null) throw new Error(this.checker.violation);
  }

  /** P12: what it leaves, it says. */
  async #closed(member: Member): Promise<void> {
    this.#closing.add(member);
    const remains = await member.close();
    this.#closing.delete(member);
    const { held } = this.store.leftBy(new Set(member.adapter.sessions.keys()));
    for (const election of held) {
      if (!remains.includes(election))
        this.checker.fail(`P12: ${member.name} is closed, left ${election} held and did not say so`);
    }
    this.checker.count(remains.length > 0 ? "closed with remains" : "closed");
  }
}
