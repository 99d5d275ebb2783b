import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { Pulse } from "../src/contract/pulse.ts";

function pulseOf(touch: () => Promise<unknown>): Pulse {
  const pulse = new Pulse(touch);
  onTestFinished(() => pulse.stop());
  void pulse.run();
  return pulse;
}

test("a store that answers, or refuses, does not stand still", async () => {
  let asked = 0;
  const pulse = pulseOf(async () => {
    asked += 1;
    if (asked % 2 === 0) throw new Error("refused");
  });
  const began = performance.now();
  await expect.poll(() => asked).toBeGreaterThan(4);
  expect(pulse.longestSince(began)).toBe(0);
});

test("for how long it has not answered is known while it lasts, and afterwards", async () => {
  const { promise: answer, resolve } = Promise.withResolvers<void>();
  let asked = 0;
  const pulse = pulseOf(async () => (asked++ === 0 ? answer : undefined));
  const began = performance.now();
  await sleep(150);
  expect(pulse.longestSince(began)).toBeGreaterThanOrEqual(140);
  expect(pulse.longestSince(performance.now()), "only what was waited for since then").toBe(0);
  resolve();
  await expect.poll(() => asked).toBe(2);
  const after = performance.now();
  expect(pulse.longestSince(began)).toBeGreaterThanOrEqual(140);
  expect(pulse.longestSince(after)).toBe(0);
});

test("it asks no more when it was stopped", async () => {
  let asked = 0;
  const pulse = new Pulse(async () => void asked++);
  const running = pulse.run();
  pulse.stop();
  await running;
  expect(asked).toBe(1);
});
