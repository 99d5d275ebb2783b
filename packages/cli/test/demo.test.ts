/** `elect demo`, and that nothing of it stays. */
import { readdirSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { faults, type Reign } from "../src/demo/verdict.ts";
import { elect, processes, Scratch, start, until } from "./rig.ts";

const scratch = new Scratch();
const env = { TMPDIR: scratch.path };

afterAll(() => scratch[Symbol.dispose]());

function candidatesOf(pid: number): number[] {
  return processes()
    .filter(({ parent, words }) => parent === pid && /demo\/candidate/.test(words))
    .map((candidate) => candidate.pid);
}

describe("elect demo", () => {
  it("shows crashes and a resignation, each taken over, under rising tokens; in words or in JSON", async () => {
    const [plain, json] = await Promise.all([elect(["demo"], { env }), elect(["demo", "--json"], { env })]);
    expect(plain.code).toBe(0);
    // No terminal, no cursor control.
    expect(plain.out).not.toContain("\u001b");
    expect(plain.out).toMatch(
      /^ok: 3 crashes taken over in [\d., ]+ ms; 1 resignation .*; tokens 1 < 2 < 3 < 4 < 5; never two leaders at once$/m,
    );
    expect(json.code).toBe(0);
    const facts = json.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string });
    expect(facts.filter(({ event }) => event === "elected")).toHaveLength(5);
    expect(facts.at(-1)).toMatchObject({ event: "summary", ok: true, wrong: [] });
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  it.each(["SIGINT", "SIGKILL"] as const)("leaves no process and no file behind after %s", async (signal) => {
    const running = start(["demo"], { env });
    await running.printed(/leads with token 1/);
    const candidates = candidatesOf(running.pid);
    expect(candidates).toHaveLength(4);
    running.kill(signal);
    const { code } = await running.ended;
    expect(code).toBe(signal === "SIGINT" ? 128 + 2 : null);
    await until("all candidates are gone", () => !processes().some(({ pid }) => candidates.includes(pid)));
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  it("says why it cannot be shown", async () => {
    expect(await elect(["demo", "-u", "sqlite:/proc/self"], { env })).toMatchObject({ code: 77 });
  });
});

describe("the verdict", () => {
  const crash = { after: "crash", ms: 20 } as const;
  const reign = (token: bigint, from: number, until: number | null): Reign => ({
    id: `c${token}`,
    token,
    from,
    until,
  });

  it("is content with rising tokens, one leader at a time and two crashes", () => {
    expect(faults([reign(1n, 0, 10), reign(2n, 20, 30), reign(3n, 31, null)], [crash, crash])).toEqual([]);
  });

  it.each([
    ["a token that did not rise", [reign(2n, 0, 10), reign(2n, 20, null)], [crash, crash]],
    ["two leaders at once", [reign(1n, 0, 30), reign(2n, 20, null)], [crash, crash]],
    ["a leader that never stopped", [reign(1n, 0, null), reign(2n, 20, null)], [crash, crash]],
    ["too few crashes", [reign(1n, 0, null)], [crash]],
  ])("finds %s", (_, reigns, takeovers) => {
    expect(faults(reigns, takeovers)).toHaveLength(1);
  });
});
