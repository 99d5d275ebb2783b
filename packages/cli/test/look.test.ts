/** `elect status`, `elect watch`, and what is said when something is wrong. */
import { afterAll, describe, expect, it } from "vitest";
import { connect, createElection } from "@elect/core";
import { exitCodes } from "../src/index.ts";
import { elect, Scratch, start } from "./rig.ts";

const scratch = new Scratch();
const url = `sqlite:${scratch.path}/store`;
const env = { ELECT_URL: url };
const backend = await connect(url);

afterAll(async () => {
  await backend.close();
  scratch[Symbol.dispose]();
});

describe("elect status", () => {
  it("says that nobody leads, with an exit code of its own", async () => {
    expect(await elect(["status", "nobody", "--json"], { env })).toMatchObject({
      code: exitCodes.no,
      out: `${JSON.stringify({ election: "nobody", store: url, leader: null, candidates: [] })}\n`,
    });
    expect(await elect(["status", "nobody"], { env })).toMatchObject({
      code: exitCodes.no,
      out: /leader +nobody/,
    });
  });

  it("says who leads, under which token, with what metadata, and who else would", async () => {
    const metadata = { address: "http://10.0.0.7:3000" };
    await using first = createElection({ backend, name: "status", id: "first", metadata });
    await using second = createElection({ backend, name: "status", id: "second" });
    await using term = await first.campaign();
    second.campaign().catch(() => {});
    await expect.poll(async () => (await first.candidates()).length).toBe(2);

    const { code, out } = await elect(["status", "status", "--json"], { env });
    expect(code).toBe(exitCodes.ok);
    expect(JSON.parse(out)).toEqual({
      election: "status",
      store: url,
      leader: { id: "first", token: String(term.token), metadata },
      candidates: [
        { id: "first", metadata },
        { id: "second", metadata: null },
      ],
    });
    const { out: text } = await elect(["status", "status"], { env });
    expect(text).toMatch(/leader +first \{"address":"http:\/\/10.0.0.7:3000"\}\ntoken +\d+\ncandidates +2\n/);
  });
});

describe("elect watch", () => {
  it("says who leads now and at each change, as lines of JSON if asked", async () => {
    await using watching = start(["watch", "watch", "--json"], { env });
    await watching.printed(/"leader":null/);
    await using election = createElection({ backend, name: "watch", id: "me" });
    const term = await election.campaign();
    await watching.printed(/"id":"me"/);
    await term.resign();
    await watching.printed(/"leader":null/, 2);
    watching.kill("SIGINT");
    const { code, out } = await watching.ended;
    expect(code).toBe(128 + 2);
    const lines = out
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { leader: unknown }).leader);
    expect(lines).toEqual([null, { id: "me", token: String(term.token), metadata: null }, null]);
  });

  it("ends in peace when nobody reads on", async () => {
    await using watching = start(["watch", "pipe"], { env });
    await watching.printed(/nobody leads/);
    watching.stopReading();
    await using election = createElection({ backend, name: "pipe" });
    await using term = await election.campaign();
    expect(term.isValid()).toBe(true);
    expect(await watching.ended).toMatchObject({ code: 0, err: "" });
  });
});

describe("elect", () => {
  it("says its version and its help", async () => {
    expect(await elect(["--version"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    });
    expect((await elect(["--help"])).out).toMatch(/Examples:\n {2}elect demo/);
    expect((await elect(["run", "--help"])).out).toMatch(/ELECT_TOKEN/);
  });

  it.each([
    ["an unknown command", ["lead", "x"], exitCodes.usage],
    ["an unknown option", ["status", "x", "--nope"], exitCodes.usage],
    ["a scheme that is none", ["status", "x", "-u", "mysql://root:hunter2@db/"], exitCodes.usage],
    [
      "an adapter that is not installed",
      ["status", "x", "-u", "redis://:hunter2@cache/"],
      exitCodes.adapterMissing,
    ],
    ["a URL in the wrong place", ["status", "x", "--uri=redis://:hunter2@cache/"], exitCodes.usage],
    ["a name that cannot be one", ["status", ""], exitCodes.usage],
  ])("tells %s in one line, without a stack and without credentials", async (_, words, expected) => {
    const { code, out, err } = await elect(words, { env, cwd: scratch.path });
    expect(err).toMatch(/^elect: .*\n$/);
    expect(out + err).not.toContain("hunter2");
    expect(code).toBe(expected);
  });
});
