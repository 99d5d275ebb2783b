/** How the contract's tests are declared: named by promise or hazard, run side by side, skipped with a reason only. */

import { afterAll, beforeAll, describe, test } from "vitest";
import { isNone, type ElectionContract } from "./options.ts";
import { Pulse } from "./pulse.ts";
import { Stage } from "./stage.ts";

/** What a test needs of a backend. */
export type Need =
  /** A network between candidate and store. */
  | "faults"
  /** A list of endpoints. */
  | "several-endpoints"
  /** Somebody with access to the store. */
  | "operator"
  /** Candidates in other processes of this host. */
  | "children"
  /** A leader that is stopped or cut off is replaced. */
  | "stopped"
  /** Candidates win in the order in which they began to wait. */
  | "fifo";

/** How long a test may take before it is taken for hung. */
const timeout = 180_000;

/** How often a test is played if a process of its own, or the store, stands still meanwhile. */
const mostTrials = 3;

export class Suite {
  readonly contract: ElectionContract;
  /** Tells this run's elections from those of any other run on the same store. */
  readonly #run: string = Math.random().toString(36).slice(2, 10).padEnd(8, "0");
  #tests = 0;
  readonly #pulse: Pulse;

  constructor(contract: ElectionContract) {
    this.contract = contract;
    const { operator } = contract;
    this.#pulse = new Pulse(async () => (isNone(operator) ? null : operator.touch?.()));
  }

  /** Watches the store while the tests run. */
  watch(): void {
    beforeAll(() => void this.#pulse.run());
    afterAll(() => this.#pulse.stop());
  }

  /** Most of a test is waiting for leases to run out: side by side, as many as vitest's `maxConcurrency` allows. */
  group(behaviour: string, declare: () => void): void {
    describe(behaviour, { concurrent: true }, declare);
  }

  /** For tests that load the machine, or watch how much is said: one after the other, after all the rest. */
  groupByItself(behaviour: string, declare: () => void): void {
    describe(behaviour, { concurrent: false }, declare);
  }

  test(name: string, needs: readonly Need[], play: (stage: Stage) => Promise<void>): void {
    const election = `contract-${this.#run}-${++this.#tests}`;
    const [lacking] = needs.flatMap((need) => lacks(this.contract, need) ?? []);
    test(name, { timeout }, async ({ annotate, skip }) => {
      if (lacking !== undefined) skip(lacking);
      for (let trial = 1; ; trial++) {
        const { failure, conclusive, still } = await perform(
          this.contract,
          this.#pulse,
          `${election}-${trial}`,
          play,
        );
        if (failure === null) return;
        if (conclusive || trial === mostTrials) throw failure;
        await annotate(`${still} That trial showed nothing. Once more.`, "warning");
      }
    });
  }
}

/** One play of a test. */
interface Trial {
  readonly failure: Error | null;
  /**
   * Whether a failure is the backend's. It is not if this very process, in which the candidates live, or a child that was
   * left alone, or the store, stood still for longer than a proof takes to come: then they lost their terms as they must, and
   * the play went another way. That no two terms were valid at once, and the like, holds all the same: what the watchman finds is always conclusive.
   */
  readonly conclusive: boolean;
  /** For how long processes and store stood still, at worst. */
  readonly still: string;
}

async function perform(
  contract: ElectionContract,
  pulse: Pulse,
  election: string,
  play: (stage: Stage) => Promise<void>,
): Promise<Trial> {
  const began = performance.now();
  const stage = new Stage(contract, election);
  const failures: Error[] = [];
  const failed = (error: unknown): void =>
    void failures.push(error instanceof Error ? error : new Error(String(error)));
  await play(stage).catch(failed);
  const [process, store] = [Math.round(stage.standstill), pulse.longestSince(began)];
  const still = `Its processes stood still for ${process} ms at worst, the store for ${store} ms.`;
  await stage.end().catch(failed);
  const { findings } = stage;
  if (findings.length > 0) failures.push(new Error(`the contract is broken:\n${findings.join("\n")}`));
  const [failure = null] = failures;
  if (failure !== null) {
    // It goes on as it is, with its place and its difference; the rest is told in its message.
    failure.message = [...failures.map(String), stage.story, still].join("\n");
  }
  return { failure, conclusive: findings.length > 0 || Math.max(process, store) < stage.ttl / 3, still };
}

/** Why the backend cannot show this; `null` if it can. */
function lacks({ faults, operator, capabilities }: ElectionContract, need: Need): string | null {
  switch (need) {
    case "faults":
      return isNone(faults) ? faults.none : null;
    case "several-endpoints":
      if (isNone(faults)) return faults.none;
      return faults.takesSeveral === true ? null : "its URL names one endpoint";
    case "operator":
      return isNone(operator) ? operator.none : null;
    case "children":
      return capabilities.reach === "process"
        ? 'it declares reach "process": other processes cannot be candidates'
        : null;
    case "stopped":
      return capabilities.stopped !== null ? null : limitOf(10, capabilities.limits);
    case "fifo":
      return capabilities.order === "fifo"
        ? null
        : 'it declares order "none": candidates win in no particular order';
  }
}

function limitOf(promise: number, limits: ElectionContract["capabilities"]["limits"]): string {
  return (
    limits.find((limit) => limit.promise === promise)?.sentence ??
    `no limit of promise ${promise} is declared`
  );
}
