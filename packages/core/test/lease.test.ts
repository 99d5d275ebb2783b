import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Lease, patienceFor } from "../src/lease.ts";

/** What is kept back for a TTL: 1 % for drift, and 5 % or 100 ms for the time between check and effect. */
const kept = (ttl: number): number => ttl * 0.01 + Math.max(100, ttl * 0.05);

describe("a lease", () => {
  it("counts from the moment the session was asked for, less drift and margin", () => {
    expect(new Lease(500, 10_000, 0).validUntil).toBe(500 + 10_000 - kept(10_000));
    expect(new Lease(500, 1_000, 0).validUntil).toBe(500 + 1_000 - 10 - 100);
  });

  it("counts from the sending of an acknowledged proof, whenever its answer comes", () => {
    const lease = new Lease(0, 10_000, 0);
    lease.extend(3_000, 10_000, 4_000);
    expect(lease.validUntil).toBe(3_000 + 10_000 - kept(10_000));
  });

  it("G-5: a late acknowledgement never counts beyond its own sending", () => {
    const lease = new Lease(0, 10_000, 0);
    lease.extend(6_000, 10_000, 6_500);
    const newest = lease.validUntil;
    lease.extend(3_000, 10_000, 7_000);
    expect(lease.validUntil).toBe(newest);
  });

  it("is as long as the store says from the newest proof on, also when it says less than before", () => {
    const lease = new Lease(0, 10_000, 0);
    lease.extend(1_000, 2_000, 1_001);
    expect(lease.validUntil).toBe(1_000 + 2_000 - kept(2_000));
    lease.extend(2_000, 20_000, 2_001);
    expect(lease.validUntil).toBe(2_000 + 20_000 - kept(20_000));
  });
});

describe("a lease whose proofs vouch only for earlier ones (ZooKeeper)", () => {
  const ttl = 8_000;
  const lag = ttl / 4;

  it("is not extended by a proof that nothing younger vouches for", () => {
    const lease = new Lease(0, ttl, lag);
    lease.extend(1_000, ttl, 1_001);
    expect(lease.validUntil).toBe(ttl - kept(ttl));
  });

  it("counts from the newest proof acknowledged at least the lag before the last one was sent", () => {
    const lease = new Lease(0, ttl, lag);
    for (const sentAt of [1_000, 2_000, 3_500, 4_100]) lease.extend(sentAt, ttl, sentAt + 50);
    expect(lease.validUntil).toBe(2_000 + ttl - kept(ttl));
    lease.extend(5_600, ttl, 5_700);
    expect(lease.validUntil).toBe(3_500 + ttl - kept(ttl));
    lease.extend(20_000, ttl, 20_010);
    expect(lease.validUntil).toBe(5_600 + ttl - kept(ttl));
  });

  it("a slow proof counts from its sending, but not before the lag has passed since its answer", () => {
    const lease = new Lease(0, ttl, lag);
    lease.extend(1_000, ttl, 2_500);
    lease.extend(4_400, ttl, 4_410);
    expect(lease.validUntil).toBe(ttl - kept(ttl));
    lease.extend(4_500, ttl, 4_510);
    expect(lease.validUntil).toBe(1_000 + ttl - kept(ttl));
  });
});

const proofs = fc.array(
  fc.record({
    sentAfter: fc.integer({ min: 0, max: 5_000 }),
    ttl: fc.integer({ min: 500, max: 20_000 }),
    takes: fc.integer({ min: 0, max: 3_000 }),
    acknowledged: fc.boolean(),
  }),
  { maxLength: 30 },
);

describe("whatever is acknowledged", () => {
  it("a lease ends before the store's own does, which began when the proof arrived", () => {
    fc.assert(
      fc.property(proofs, fc.integer({ min: 500, max: 20_000 }), (sent, ttl) => {
        const lease = new Lease(0, ttl, 0);
        let storeUntil = ttl;
        let now = 0;
        for (const proof of sent) {
          now += proof.sentAfter;
          if (!proof.acknowledged) continue;
          storeUntil = now + proof.ttl;
          lease.extend(now, proof.ttl, now + proof.takes);
          expect(lease.validUntil).toBeLessThan(storeUntil);
        }
      }),
    );
  });

  it("with a lag, it never counts from a proof that no acknowledged one vouches for", () => {
    const ttl = 8_000;
    fc.assert(
      fc.property(proofs, fc.integer({ min: 1, max: 4_000 }), (sent, lag) => {
        const lease = new Lease(0, ttl, lag);
        const acknowledged: { sentAt: number; heardAt: number }[] = [];
        let now = 0;
        for (const proof of sent) {
          const sentAt = now + proof.sentAfter;
          now = sentAt + proof.takes;
          if (!proof.acknowledged) continue;
          acknowledged.push({ sentAt, heardAt: now });
          lease.extend(sentAt, ttl, now);
          const vouched = acknowledged.findLast(({ heardAt }) => heardAt <= sentAt - lag);
          expect(lease.validUntil).toBeCloseTo((vouched?.sentAt ?? 0) + ttl - kept(ttl), 6);
        }
      }),
    );
  });
});

it("C2: a challenger's patience is the holder's lease and the drift between the two clocks", () => {
  expect(patienceFor(10_000)).toBe(10_100);
});
