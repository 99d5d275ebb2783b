import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect as expectHere, test as testHere } from "vitest";
// readme: begin
import { setTimeout } from "node:timers/promises";
import { createElection, type Backend } from "@elect/core";
import { faultyMemory } from "@elect/testing";
import { expect, test, vi } from "vitest";

/** Your service: it exports page after page, for as long as it leads. */
async function exportPages(backend: Backend, write: (fence: string) => Promise<void>, signal: AbortSignal) {
  const election = createElection({ backend, name: "export" });
  await election.run(
    async (term) => {
      while (!term.signal.aborted) {
        term.assertValid();
        await write(term.fence);
      }
    },
    { signal },
  );
}

test("writes nothing while another process leads, and goes on after it", async () => {
  await using store = faultyMemory();
  const stop = new AbortController();
  const written: string[] = [];
  const service = exportPages(
    store.backend,
    async (fence) => {
      await setTimeout(5);
      written.push(fence);
    },
    stop.signal,
  );
  await vi.waitUntil(() => written.length > 2);

  const rival = await store.takeOver("export");
  const before = written.length;
  await setTimeout(50);
  expect(written.length - before).toBeLessThanOrEqual(1); // the page that was under way

  await rival.resign();
  await vi.waitUntil(() => written.at(-1) !== written[0]);
  expect(written.toSorted()).toEqual(written); // a new term has a greater fence

  stop.abort();
  await expect(service).rejects.toBe(stop.signal.reason);
});
// readme: end

testHere("the README shows the test above", () => {
  const source = readFileSync(import.meta.filename, "utf8");
  const [, example] = source.split(/^\/\/ readme: (?:begin|end)\n/m);
  expectHere(readFileSync(join(import.meta.dirname, "../README.md"), "utf8")).toContain(example);
});
