/** Candidates in processes, on the store on a wire: they can be handled, and the campaign sees what it must. */
import { afterAll, describe, expect, test } from "vitest";
import { runFaultCampaign, summarise } from "../src/campaign.ts";
import { checkHistory } from "../src/checker.ts";
import { startCandidate } from "../src/child-candidate.ts";
import { within } from "../src/wait.ts";
import { temporary } from "./temporary.ts";
import { WireServer } from "./wire/server.ts";

const server = new WireServer();
const url = `wire://127.0.0.1:${await server.listen()}`;
const adapter = import.meta.resolve("./wire/adapter.ts");
afterAll(() => server.close());

const bound = 20_000;

describe("child candidates", () => {
  test("lead, resign, lead again and close; their history is whole", async () => {
    using directory = temporary();
    await using child = await startCandidate({
      url,
      adapter,
      directory: directory.path,
      election: "alone",
      ttl: 1000,
      id: "a",
    });
    const first = await within(bound, "elected", child.elected());
    child.resign();
    const second = await within(bound, "elected again", child.elected(first));
    expect(await within(bound, "lost", child.lost(first))).toBe("resigned");
    expect(await within(bound, "closed", child.close())).toEqual([]);
    expect(await child.exited).toBe(0);
    const history = child.history();
    expect(checkHistory(history)).toEqual([]);
    expect(history.filter(({ kind }) => kind === "elected").map(({ token }) => token)).toEqual([
      first,
      second,
    ]);
    expect(history.at(-1)?.kind).toBe("closed");
    expect(history.filter(({ kind, valid }) => kind === "claim" && valid).length).toBeGreaterThan(0);
  });

  test("keep what they noted when they are killed", async () => {
    using directory = temporary();
    await using child = await startCandidate({
      url,
      adapter,
      directory: directory.path,
      election: "killed",
      ttl: 1000,
      id: "a",
    });
    const token = await within(bound, "elected", child.elected());
    expect(await child.kill().then(() => child.exited)).toBe("SIGKILL");
    expect(child.leads).toBeNull();
    const history = child.history();
    expect(history).toContainEqual(expect.objectContaining({ kind: "elected", token }));
    expect(checkHistory(history, { killed: new Set([child.incarnation]) })).toEqual([]);
  });

  test("a process that cannot start says why", async () => {
    using directory = temporary();
    const start = startCandidate({
      directory: directory.path,
      url: "nowhere:",
      election: "none",
      ttl: 1000,
      id: "a",
    });
    await expect(start).rejects.toThrow(
      /candidate a ended \(1\) before it was ready: [^]*ELECT_INVALID_OPTION/,
    );
  });
});

describe("the fault campaign", () => {
  const campaign = { url, adapter, candidates: 3, ttl: 600, seed: 7 };

  test("a safe library: no violation, and a leader again in time", { timeout: 60_000 }, async () => {
    const report = await runFaultCampaign({ ...campaign, seconds: 8 });
    expect(report.violations, summarise(report)).toEqual([]);
    expect(report.late, summarise(report)).toEqual([]);
    expect(report.remains).toEqual([]);
    expect([report.faults.length > 5, report.terms > 1, report.validClaims > 100]).toEqual([
      true,
      true,
      true,
    ]);
  });

  test(
    "the negative control: candidates that believe events overlap, and are found",
    { timeout: 60_000 },
    async () => {
      const report = await runFaultCampaign({
        ...campaign,
        seconds: 8,
        unsafe: true,
        faults: ["stop", "stall"],
        aimed: 1,
      });
      const overlaps = report.violations.filter(({ kind }) => kind === "overlap");
      expect(overlaps.length, summarise(report)).toBeGreaterThan(0);
    },
  );
});
