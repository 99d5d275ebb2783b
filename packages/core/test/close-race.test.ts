/**
 * G-11: `close()` races the answer of each call of the port, microtask by microtask: neither order of the two may
 * leave anything running, held or unsaid.
 */

import { describe, expect, it } from "vitest";

import { held, type Held, type Operation } from "./kit/scripted-store.ts";
import { journal, microtasks, settle, stage, ttl, watched, type Stage } from "./kit/stage.ts";

const steps = Array.from({ length: 25 }, (_, step) => step);

interface Way {
  /** What the store answers to the call, as it should. */
  readonly answer: unknown;
  reach(on: Stage, campaign: () => { readonly value: { resign(): Promise<void> } | undefined }): void;
}

const ways = {
  open: { answer: undefined, reach: (_, campaign) => void campaign() },
  claim: { answer: [{ kind: "granted", token: 1n }], reach: (_, campaign) => void campaign() },
  dispose: {
    answer: undefined,
    reach: (on, campaign) => {
      on.store.hold("claim").fail();
      campaign();
    },
  },
  release: {
    answer: undefined,
    reach: (on, campaign) => {
      const term = campaign();
      on.clock.timer(10, () => void term.value?.resign());
    },
  },
  prove: {
    answer: { kind: "alive", ttlMs: ttl, covers: "all", lost: [] },
    reach: (on, campaign) => {
      on.store.answers.claim = async () => [held()];
      campaign();
    },
  },
} satisfies Partial<Record<Operation, Way>>;

type Reply = "answered" | "failed";

/** Lets an election come to where it makes the call, and holds it there. */
async function upTo(operation: keyof typeof ways) {
  const on = stage();
  const election = on.elect("report", { drainTimeout: 1_000 });
  const says = journal(election);
  const call = on.store.hold(operation) as Held<unknown>;
  const way: Way = ways[operation];
  way.reach(on, () => watched(election.campaign()));
  const asked = watched(call.asked);
  await settle();
  while (asked.state === "pending") await on.clock.advance(50);
  const reply = (how: Reply): void => (how === "failed" ? call.fail() : call.answer(way.answer));
  return { on, says, reply, close: () => election.close() };
}

describe.each(Object.keys(ways) as (keyof typeof ways)[])("close() races the answer to %s", (operation) => {
  it.each<[string, Reply]>([
    ["close first", "answered"],
    ["close first", "failed"],
    ["answer first", "answered"],
    ["answer first", "failed"],
  ])("%s, %s", async (order, how) => {
    for (const step of steps) {
      const { on, says, reply, close } = await upTo(operation);
      if (order === "answer first") {
        reply(how);
        await microtasks(step);
      }
      const closing = watched(close());
      if (order === "close first") {
        await microtasks(step);
        reply(how);
      }
      await on.clock.advance(10_000);
      expect(closing.state, `step ${step}`).toBe("resolved");
      // By hand, nobody resigns any more: such a term stays held.
      const told = says.filter((line) => /^(elected|lost)/.test(line));
      if (told.at(-1)?.startsWith("elected") === true) continue;
      expect(on.clock.timers, `step ${step}: timers`).toBe(0);
      expect(says.at(-1), `step ${step}`).toMatch(/> closed$|trouble/);
      const open = on.store.sessions.filter((session) => !session.abandoned).length;
      expect(on.store.of("end").length, `step ${step}: sessions ended`).toBe(open);
    }
  });
});
