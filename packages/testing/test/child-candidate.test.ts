import { expect, onTestFinished, test } from "vitest";
import { startCandidate, type ChildCandidate } from "../src/index.ts";
import { within } from "../src/wait.ts";
import { temporary } from "./temporary.ts";

const pauseMs = 400;

async function child(): Promise<ChildCandidate> {
  const directory = temporary();
  onTestFinished(() => directory[Symbol.dispose]());
  const candidate = await startCandidate({
    url: "memory:",
    election: "still",
    ttl: 30_000,
    id: "one",
    directory: directory.path,
  });
  onTestFinished(() => candidate[Symbol.asyncDispose]());
  await candidate.elected();
  return candidate;
}

test("a child that stands still though nobody made it says for how long", async () => {
  const candidate = await child();
  // As the machine would, and not as a test does.
  process.kill(candidate.pid, "SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
  process.kill(candidate.pid, "SIGCONT");
  await within(10_000, "it says so", told(candidate));
  expect(candidate.standstill).toBeGreaterThan(pauseMs / 2);
});

test("a child that was made to stand still does not count", async () => {
  const candidate = await child();
  const before = candidate.standstill;
  await candidate.stall(pauseMs);
  // What it says next, it says after it has looked at the clock.
  await candidate.stall(0);
  await candidate.stall(0);
  expect(candidate.standstill).toBe(before);
});

async function told(candidate: ChildCandidate): Promise<void> {
  while (candidate.standstill === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}
