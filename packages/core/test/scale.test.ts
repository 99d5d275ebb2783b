import { describe, expect, it } from "vitest";

import { FakeClock } from "../../testing/src/fake-clock.ts";
import { createBackend } from "../src/backend.ts";
import { createElection } from "../src/election.ts";
import { memory, MemoryAdapter } from "../src/memory.ts";
import type { Adapter, Session } from "../src/port.ts";

const elections = 1_000;
const ttl = 3_000;

/** Counts what a session is asked, by operation. */
function counting(adapter: Adapter): { adapter: Adapter; calls: string[] } {
  const calls: string[] = [];
  const noted = (session: Session): Session => ({
    id: session.id,
    store: session.store,
    ttlMs: session.ttlMs,
    proofLagMs: session.proofLagMs,
    ticket: session.ticket,
    poll: session.poll,
    warnings: session.warnings,
    prove: (held, call) => (calls.push("prove"), session.prove(held, call)),
    claim: (requests, call) => (calls.push("claim"), session.claim(requests, call)),
    release: (claims, call) => (calls.push("release"), session.release(claims, call)),
    dispose: (claims, call) => (calls.push("dispose"), session.dispose(claims, call)),
    end: (call) => (calls.push("end"), session.end(call)),
    abandon: () => session.abandon(),
  });
  const { kind, address, capabilities } = adapter;
  const counted: Adapter = {
    kind,
    address,
    capabilities,
    open: async (request, call) => (calls.push("open"), noted(await adapter.open(request, call))),
    end: (ticket, call) => adapter.end(ticket, call),
    read: (election, call) => (calls.push("read"), adapter.read(election, call)),
    candidates: (election, call) => (calls.push("candidates"), adapter.candidates(election, call)),
    watch: (election, changed, call) => (calls.push("watch"), adapter.watch(election, changed, call)),
    close: (call) => adapter.close(call),
  };
  return { adapter: counted, calls };
}

describe(`P11, G-14: one process in ${elections} elections`, () => {
  it("leads them all, soon, and gives them all back", { timeout: 30_000 }, async () => {
    const rss = process.memoryUsage.rss();
    await using backend = memory();
    const candidates = Array.from({ length: elections }, (_, index) =>
      createElection({ backend, name: `election-${index}` }),
    );
    const begun = performance.now();
    const terms = await Promise.all(candidates.map((candidate) => candidate.campaign()));
    const led = performance.now() - begun;
    expect(terms.every((term) => term.isValid())).toBe(true);
    expect(new Set(terms.map((term) => term.token)).size).toBe(elections);
    const grown = (process.memoryUsage.rss() - rss) / 2 ** 20;
    await Promise.all(terms.map((term) => term.resign()));
    const all = performance.now() - begun;
    process.stdout.write(
      `${elections} elections: all led after ${led.toFixed(1)} ms, all resigned after ${all.toFixed(1)} ms, ` +
        `${grown.toFixed(1)} MB more\n`,
    );
    expect(led).toBeLessThan(5_000);
  });

  it("costs as many requests, led or waited for, as one election does", async () => {
    const requests: Record<string, number> = {};
    for (const count of [1, elections]) {
      // Another seed, so another store: core remembers which tokens it saw where.
      const clock = new FakeClock(count);
      const name = `scale-${count}`;
      const leader = counting(new MemoryAdapter({ name, clock }));
      const waiter = counting(new MemoryAdapter({ name, clock }));
      for (const { adapter } of [leader, waiter]) {
        const backend = createBackend(adapter, { clock });
        for (let index = 0; index < count; index++)
          void createElection({ backend, name: `election-${index}`, ttl }).campaign();
        await clock.advance(0);
      }
      leader.calls.length = waiter.calls.length = 0;
      await clock.advance(20 * ttl);
      requests[`${count} led`] = leader.calls.length;
      requests[`${count} waited for`] = waiter.calls.length;
      expect(new Set(leader.calls)).toEqual(new Set(["prove"]));
    }
    process.stdout.write(`requests in 20 TTLs: ${JSON.stringify(requests)}\n`);
    // One proof every third of the TTL, up to a tenth earlier, whatever it vouches for.
    for (const count of [1, elections]) expect(requests[`${count} led`]).toBeLessThanOrEqual((20 * 3) / 0.9);
    expect(requests[`${elections} waited for`]).toBeLessThanOrEqual((requests["1 waited for"] ?? 0) * 1.2);
  });
});
