/** The tests can see: each of the known mistakes, made on purpose in a copy of the sources, makes named tests fail. */

import { describe, expect, it, vi } from "vitest";

import { mutations } from "./mutations/mutations.ts";
import { tryOn, type FileOutcome } from "./mutations/try-on.ts";

const timeout = 120_000;

/** What caught it, in one line each. */
function tell(mutation: string, outcomes: readonly FileOutcome[]): void {
  const lines = outcomes.map(
    ({ file, failed }) => `    ${file}: ${failed.length} failed, first "${failed[0] ?? "none"}"`,
  );
  process.stdout.write(`  ${mutation}\n${lines.join("\n")}\n`);
}

// Mutations that would catch themselves.
vi.setConfig({ maxConcurrency: 2 });

describe.skipIf(process.env["ELECT_CORE_SOURCE"] !== undefined).concurrent("mutations", () => {
  it("control: without a mutation, all these tests pass", { timeout }, async () => {
    const files = [...new Set(mutations.flatMap(({ caughtBy }) => caughtBy))];
    for (const { file, passed, failed } of await tryOn([], files)) {
      expect(failed, file).toEqual([]);
      expect(passed.length, file).toBeGreaterThan(0);
    }
  });

  const byName = mutations.map((mutation) => [mutation.name, mutation] as const);
  it.each(byName)("%s", { timeout }, async (name, { changes, caughtBy }) => {
    const outcomes = await tryOn(changes, caughtBy);
    tell(name, outcomes);
    for (const { file, failed } of outcomes) expect(failed, `seen by ${file}`).not.toEqual([]);
  });
});
