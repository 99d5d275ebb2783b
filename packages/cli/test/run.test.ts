/** What `elect run` does for its command, and how it exits. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { exitCodes } from "../src/index.ts";
import { hostNow } from "../src/host-clock.ts";
import { beats, elect, isRunning, Scratch, start, until } from "./rig.ts";

const scratch = new Scratch();
const url = `sqlite:${scratch.path}/store`;
const env = { ELECT_URL: url };
const node = process.execPath;
let elections = 0;

afterAll(() => scratch[Symbol.dispose]());

function election(): string {
  return `election-${elections++}`;
}

/** Waits until the program has left nothing behind. */
async function ends(file: string): Promise<void> {
  const pids = new Set(beats(file).map(({ pid }) => pid));
  await until("all are gone", () => ![...pids].some(isRunning));
}

describe("the environment of the command", () => {
  it("says for what, who, where, under which token and until when it leads", async () => {
    const name = election();
    const script = `
      const { ELECT_ELECTION, ELECT_CANDIDATE, ELECT_STORE, ELECT_TOKEN, ELECT_FENCE, ELECT_TTL, ELECT_DEADLINE_FILE, MINE } = process.env;
      const deadline = BigInt(fs.readFileSync(ELECT_DEADLINE_FILE, "utf8"));
      const left = Number(deadline - process.hrtime.bigint()) / 1e6;
      console.log(JSON.stringify({ ELECT_ELECTION, ELECT_CANDIDATE, ELECT_STORE, ELECT_TOKEN, ELECT_FENCE, ELECT_TTL, left, MINE, ELECT_DEADLINE_FILE }));`;
    const words = [
      "run",
      "-e",
      name,
      "--id",
      "me",
      "--ttl",
      "5000",
      "--generation",
      "7",
      "--",
      node,
      "-e",
      script,
    ];
    const { code, out } = await elect(words, { env: { ...env, MINE: "kept" } });
    expect(code).toBe(0);
    const seen = JSON.parse(out) as Record<string, string> & { left: number };
    expect(seen).toMatchObject({
      ELECT_ELECTION: name,
      ELECT_CANDIDATE: "me",
      ELECT_STORE: url,
      ELECT_TTL: "5000",
      MINE: "kept",
    });
    expect(seen["ELECT_FENCE"]).toBe(`0000000007.${seen["ELECT_TOKEN"]?.padStart(19, "0")}`);
    expect(seen.left).toBeGreaterThan(0);
    expect(seen.left).toBeLessThan(5_000);
    expect(existsSync(dirname(seen["ELECT_DEADLINE_FILE"] ?? ""))).toBe(false);
  });

  it("names a file whose deadline moves with every proof", async () => {
    const script = `
      const read = () => BigInt(fs.readFileSync(process.env.ELECT_DEADLINE_FILE, "utf8"));
      const first = read();
      setInterval(() => { if (read() > first) process.exit(5); }, 5);`;
    const { code } = await elect(["run", "-e", election(), "--ttl", "500", "--", node, "-e", script], {
      env,
    });
    expect(code).toBe(5);
  });
});

describe("the exit code", () => {
  it("is the command's, and the words after it are the command's own", async () => {
    const { code, out } = await elect(
      ["run", "-e", election(), "sh", "-c", 'echo "$@"; exit 7', "sh", "--once", "-q"],
      { env },
    );
    expect({ code, out }).toEqual({ code: 7, out: "--once -q\n" });
  });

  it("is 128 + n when a signal ended the command", async () => {
    const { code } = await elect(["run", "-e", election(), "--", "sh", "-c", "kill -KILL $$"], { env });
    expect(code).toBe(128 + 9);
  });

  it.each([
    ["no-such-program", exitCodes.notFound],
    [import.meta.filename, exitCodes.notExecutable],
  ])("says that %s cannot be started, and gives leadership back", async (file, expected) => {
    const name = election();
    const { code, err } = await elect(["run", "-e", name, "--", file], { env });
    expect(code).toBe(expected);
    expect(err).toMatch(/cannot start/);
    expect((await elect(["status", name], { env })).code).toBe(exitCodes.no);
  });

  it.each([
    ["no election", ["run", "true"], exitCodes.usage],
    ["no command", ["run", "-e", "x"], exitCodes.usage],
    ["a TTL that is none", ["run", "-e", "x", "--ttl", "1s", "true"], exitCodes.usage],
    ["a TTL that is too short", ["run", "-e", "x", "--ttl", "5", "true"], exitCodes.usage],
    ["metadata that is no JSON", ["run", "-e", "x", "--metadata", "{", "true"], exitCodes.usage],
    ["a store that refuses", ["run", "-e", "x", "-u", "sqlite:/proc/self", "true"], exitCodes.refused],
  ])("tells %s, in one line", async (_, words, expected) => {
    const { code, err } = await elect(words, { env });
    expect(err).toMatch(/^elect: .*\n$/);
    expect(code).toBe(expected);
  });

  it("is 128 + n when elect itself was told to end while it waited", async () => {
    const name = election();
    await using leader = start(["run", "-e", name, "--", "sleep", "60"], { env });
    await leader.printed(/leads with token/);
    const waiting = start(["run", "-e", name, "--", "sleep", "60"], { env });
    await until("it waits", () => waiting.pid > 0 && hasHolder(waiting));
    waiting.kill("SIGINT");
    expect(await waiting.ended).toMatchObject({ code: 128 + 2 });
  });
});

function hasHolder(one: ReturnType<typeof start>): boolean {
  try {
    return one.holder > 0;
  } catch {
    return false;
  }
}

describe("ending", () => {
  it("tells the command with SIGTERM, whatever signal elect was sent, and exits as it does", async () => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      const script = `process.on("SIGTERM", () => process.exit(11)); setInterval(() => {}, 1000); console.log("up");`;
      const running = start(["run", "-e", election(), "--", node, "-e", script], { env });
      await running.printed(/up/);
      running.kill(signal);
      expect(await running.ended).toMatchObject({ code: 11 });
    }
  });

  it("kills what is still there after the grace, and only then", async () => {
    const file = scratch.file("grace");
    const running = start(
      ["run", "-e", election(), "--grace", "300", "--", node, scratch.beatProgram, file],
      {
        env,
      },
    );
    await running.printed(/^beating/m);
    const told = hostNow();
    running.kill("SIGTERM");
    expect(await running.ended).toMatchObject({ code: 128 + 15 });
    const lastOf = (role: string): number =>
      Math.max(
        ...beats(file)
          .filter((beat) => beat.role === role)
          .map(({ at }) => at),
      );
    expect(lastOf("deaf")).toBeGreaterThan(told + 200);
    await ends(file);
  });

  it("kills at once when it is told a second time", async () => {
    const running = start(
      [
        "run",
        "-e",
        election(),
        "--grace",
        "60000",
        "--",
        "sh",
        "-c",
        'trap "" TERM; echo up; while :; do sleep 1; done',
      ],
      { env },
    );
    await running.printed(/up/);
    running.kill("SIGTERM");
    running.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 128 + 9 });
  });

  it("ends with the command what it has left behind, in its group or in a session of its own", async () => {
    const file = scratch.file("stray");
    const script = `const { spawn } = require("node:child_process");
      spawn(process.execPath, [${JSON.stringify(scratch.beatProgram)}, ${JSON.stringify(file)}, "parent", "stray"], { stdio: ["ignore", "pipe", "inherit"] })
        .stdout.once("data", () => process.exit(3));`;
    const { code } = await elect(["run", "-e", election(), "--grace", "100", "--", node, "-e", script], {
      env,
    });
    expect(code).toBe(3);
    expect(new Set(beats(file).map(({ role }) => role))).toEqual(new Set(["parent", "deaf", "stray"]));
    const pids = new Set(beats(file).map(({ pid }) => pid));
    expect([...pids].filter(isRunning)).toEqual([]);
  });

  it("leaves nothing behind when elect is killed", async () => {
    const file = scratch.file("killed");
    const running = start(
      ["run", "-e", election(), "--ttl", "1000", "--", node, scratch.beatProgram, file, "parent", "stray"],
      { env },
    );
    await running.printed(/^beating.+\n/m);
    const { holder, out } = running;
    const deadline = /^beating under (.+)$/m.exec(out)?.[1] ?? "";
    expect(existsSync(dirname(deadline))).toBe(true);
    running.kill("SIGKILL");
    await ends(file);
    await until("the holder is gone", () => !isRunning(holder));
    expect(existsSync(dirname(deadline))).toBe(false);
  });

  it("kills the command when the process that holds the session is gone", async () => {
    const file = scratch.file("holder");
    const running = start(["run", "-e", election(), "--", node, scratch.beatProgram, file], { env });
    await running.printed(/^beating/m);
    process.kill(running.holder, "SIGKILL");
    expect(await running.ended).toMatchObject({ code: exitCodes.internal });
    await ends(file);
  });
});

describe("when leadership is lost", () => {
  const lease = `${url}-lease?mode=lease`;
  const words = (name: string, ...more: string[]): string[] => [
    "run",
    "-e",
    name,
    "-u",
    lease,
    "--ttl",
    "2000",
    ...more,
    "--",
    "sleep",
    "60",
  ];

  it("campaigns again", async () => {
    await using running = start(words(election()));
    await running.printed(/started sleep/);
    running.kill("SIGSTOP");
    await until("the command is gone", () => commandOf(running) === null);
    running.kill("SIGCONT");
    await running.printed(/started sleep/, 2);
    const tokens = [...running.err.matchAll(/token (\d+); started/g)].map(([, token]) => Number(token));
    expect(tokens[1]).toBeGreaterThan(tokens[0] ?? Infinity);
  });

  it("leaves with its own exit code if told so", async () => {
    const running = start(words(election(), "--once"));
    await running.printed(/started sleep/);
    running.kill("SIGSTOP");
    await until("the command is gone", () => commandOf(running) === null);
    running.kill("SIGCONT");
    expect(await running.ended).toMatchObject({ code: exitCodes.lost });
  });
});

function commandOf(running: ReturnType<typeof start>): number | null {
  const pid = Number(/started sleep \(pid (\d+)\)/.exec(running.err)?.[1]);
  return isRunning(pid) ? pid : null;
}
