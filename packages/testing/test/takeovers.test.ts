import { describe, expect, test } from "vitest";
import type { History, HistoryRecord } from "../src/history.ts";
import { findGaps, type FaultRecord } from "../src/takeovers.ts";

const ms = 1e6;

/** `candidate` claims every 10 ms from `from` to `to`. */
function leads(candidate: string, from: number, to: number): HistoryRecord[] {
  const claims: HistoryRecord[] = [];
  for (let at = from; at <= to; at += 10) {
    claims.push({ kind: "claim", candidate, from: at * ms, to: at * ms + 1000, token: 1n, valid: true });
  }
  return claims;
}

function fault(kind: FaultRecord["kind"], candidate: string, from: number, to: number = from): FaultRecord {
  return { kind, candidate, from: from * ms, to: to * ms };
}

const leases = {
  ttl: 1000,
  capabilities: { crash: { ttls: 1, plusMs: 300 }, stopped: { ttls: 1, plusMs: 300 } },
};
const locks = { ttl: 1000, capabilities: { crash: { ttls: 0, plusMs: 60 }, stopped: null } };

describe("times without a leader", () => {
  test("there is none while somebody claims", () => {
    expect(findGaps([...leads("a", 0, 500), ...leads("b", 505, 1000)], [], [], leases)).toEqual([]);
  });

  test("a kill is allowed the crash bound, from the kill on", () => {
    const history: History = [...leads("a", 0, 500), ...leads("b", 1700, 2000)];
    const [gap, ...others] = findGaps(history, [fault("kill", "a", 505)], [], leases);
    expect(others).toEqual([]);
    expect(gap).toMatchObject({ cause: "kill" });
    expect(gap?.ms).toBeCloseTo(1200, 0);
    expect(gap?.allowedMs).toBeCloseTo(1305, 0);
  });

  test("what nobody's fault explains is allowed what a crash is", () => {
    const history: History = [...leads("a", 0, 500), ...leads("b", 9000, 9100)];
    const elsewhere = [fault("kill", "c", 600), fault("stop", "c", 5000, 6000)];
    expect(findGaps(history, elsewhere, [], leases)).toMatchObject([{ cause: null, allowedMs: 1300 }]);
  });

  test("a leader that was struck before it could say so counts, if the store named it", () => {
    const history: History = [...leads("a", 0, 500), ...leads("b", 3000, 3100)];
    const faults = [fault("kill", "a", 505), fault("kill", "c", 1800)];
    const seen = [{ candidate: "c", at: 1790 * ms }];
    const [unseen] = findGaps(history, faults, [], leases);
    expect(unseen?.allowedMs).toBeCloseTo(1305, 0);
    const [gap] = findGaps(history, faults, seen, leases);
    expect(gap?.allowedMs).toBeCloseTo(2600, 0);
  });

  test("where a stopped leader keeps its place, the bound begins when it runs again", () => {
    const history: History = [...leads("a", 0, 500), ...leads("b", 2540, 2600)];
    const [gap] = findGaps(history, [fault("stop", "a", 505, 2500)], [], locks);
    expect(gap).toMatchObject({ cause: "stop" });
    expect(gap?.allowedMs).toBeCloseTo(2060, 0);
    const [leased] = findGaps(history, [fault("stop", "a", 505, 2500)], [], leases);
    expect(leased?.allowedMs).toBeCloseTo(1305, 0);
  });
});
