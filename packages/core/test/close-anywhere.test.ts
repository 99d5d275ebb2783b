/**
 * G-11: `close()` at every await point. Each story is told again and again, each time a few microtasks, or a few
 * milliseconds, later interrupted by a close; which must settle in bounded time, leave no timer, and leave an election
 * that is closed, whose every `elected` has its `lost`.
 */

import { describe, expect, it } from "vitest";

import type { Backend } from "../src/backend.ts";
import type { Election } from "../src/election.ts";
import { failure, held, silence, type Answers } from "./kit/scripted-store.ts";
import { journal, microtasks, settle, stage, ttl, watched, type Stage } from "./kit/stage.ts";

const drainTimeout = 1_000;
/** Draining, giving back, a proof under way, ending the session. */
const bound = drainTimeout + 2_000 + 5_000 + 2_000;

type Story = (on: Stage, election: Election) => void;

const stories: Record<string, Story> = {
  "campaigns and is elected": (_, election) => void watched(election.campaign()),
  "campaigns, resigns, campaigns": (_, election) => {
    void watched(election.campaign().then((term) => term.resign().then(() => election.campaign())));
  },
  "runs work that ends by itself": (_, election) => void watched(election.run(() => "done")),
  "runs work that stops when told": (_, election) => {
    void watched(election.run(({ signal }) => new Promise((done) => (signal.onabort = done))));
  },
  "runs work that never stops": (_, election) => void watched(election.run(() => silence())),
  "waits for another": (on, election) => {
    on.store.answers.claim = async () => [held({ retryInMs: 40 })];
    void watched(election.campaign());
  },
  aborts: (_, election) => {
    const stop = new AbortController();
    void watched(election.campaign({ signal: stop.signal }));
    void Promise.resolve().then(() => stop.abort());
  },
  "loses its session": (on, election) => {
    void watched(election.run(({ signal }) => new Promise((done) => (signal.onabort = done))));
    on.clock.timer(20, () => on.store.sessions.at(-1)?.events.ended("over"));
  },
  "observes, and asks": (_, election) => {
    void watched(election.observe().next());
    void watched(election.leader());
    void watched(election.campaign());
  },
};

const weather: Record<string, (on: Stage, answers: Answers) => Partial<Answers>> = {
  "answers at once": () => ({}),
  "answers after 10 ms": (on, answers) => {
    const later =
      <Args extends unknown[], Answer>(answer: (...args: Args) => Promise<Answer>) =>
      (...args: Args): Promise<Answer> =>
        new Promise((resolve) => on.clock.timer(10, () => resolve(answer(...args))));
    return {
      open: later(answers.open),
      prove: later(answers.prove),
      claim: later(answers.claim),
      release: later(answers.release),
      end: later(answers.end),
    };
  },
  "never takes anything back": () => ({ release: silence, dispose: silence, end: silence }),
  "hangs in claims": () => ({ claim: silence, dispose: silence }),
  "fails in claims": () => ({ claim: failure }),
  "fails in everything": () => ({
    open: failure,
    claim: failure,
    release: failure,
    dispose: failure,
    end: failure,
  }),
  "proves nothing": () => ({ prove: silence, release: failure }),
};

async function told(story: Story, sky: string, until: (on: Stage) => Promise<void>, whole: boolean) {
  const on = stage();
  Object.assign(on.store.answers, weather[sky]?.(on, { ...on.store.answers }));
  const election = on.elect("report", { drainTimeout });
  const says = journal(election);
  story(on, election);
  await until(on);
  const closing = watched((whole ? on.backend : election).close() as ReturnType<Backend["close"]>);
  await on.clock.advance(bound);
  expect(closing.state, "close() has settled").toBe("resolved");
  return { on, election, says };
}

function endsWell({ on, election, says }: Awaited<ReturnType<typeof told>>, works: boolean): void {
  const terms = says.filter((line) => /^(elected|lost)/.test(line)).map((line) => line.split(" ")[0]);
  for (const [index, line] of terms.entries()) expect(line).toBe(index % 2 === 0 ? "elected" : "lost");
  if (!works) return;
  expect(election.state).toBe("closed");
  expect(terms.length % 2, "each elected has its lost").toBe(0);
  expect(on.clock.timers, "timers left").toBe(0);
}

for (const [name, story] of Object.entries(stories)) {
  describe(`one that ${name}, closed anywhere`, () => {
    for (const sky of Object.keys(weather)) {
      it(`on a store that ${sky}`, async () => {
        // By hand, nobody resigns after a close here; and some work never stops: those terms stay held.
        const stops = !name.includes("never stops") && !name.includes("elected") && !name.includes("resigns");
        for (const whole of [false, true]) {
          for (let step = 0; step < 40; step++) {
            endsWell(
              await told(story, sky, () => microtasks(step), whole),
              stops && !name.includes("observes"),
            );
          }
          for (const ms of [1, 10, 15, 25, 45, 900, 1_050, 1_200, ttl, ttl * 1.5]) {
            const on = await told(story, sky, (begun) => begun.clock.advance(ms), whole);
            endsWell(on, stops && !name.includes("observes"));
          }
        }
        await settle();
      });
    }
  });
}
