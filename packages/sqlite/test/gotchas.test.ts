/**
 * The hazards of an embedded store, by the numbers of the research: each is reproduced first, where it can be, and
 * then shown not to hurt. Those that need mounts, namespaces or other versions of Node are in topology.test.ts.
 */

import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  adapterOn,
  call,
  claim,
  openSession,
  OtherProcess,
  peek,
  prove,
  request,
  temporaryDirectory,
  untilNews,
  win,
} from "./rig.ts";

/** More cycles than a test run can afford, for whoever wants to know. */
const cycles = Number(process.env["ELECT_SQLITE_CYCLES"] ?? 8);

test(
  "SQ-1 a killed leader is replaced with the next poll, again and again, and tokens rise",
  async () => {
    const directory = temporaryDirectory();
    const waiter = await openSession(adapterOn({ directory }));
    let last = 0n;
    for (let cycle = 0; cycle < cycles; cycle++) {
      const leader = await OtherProcess.withSession(directory);
      const token = await leader.win(request("report"));
      expect(token).toBeGreaterThan(last);
      const bid = request("report");
      await claim(waiter, bid);
      await leader.kill();
      // No waiting: the lock is free as soon as the process is gone.
      expect(waiter.poll?.look(new Map())).toEqual(["report"]);
      last = await win(waiter, bid);
      expect(last).toBeGreaterThan(token);
      await waiter.release([bid], call());
    }
  },
  Math.max(20_000, cycles * 1_000),
);

describe("SQ-2 a stopped leader", () => {
  test("keeps its place in mode lock, as the capabilities say", async () => {
    const directory = temporaryDirectory();
    const leader = await OtherProcess.withSession(directory, 300);
    const bid = request("report");
    await leader.win(bid);
    const adapter = adapterOn({ directory });
    expect(adapter.capabilities.stopped).toBeNull();
    const waiter = await openSession(adapter);
    await claim(waiter, request("report"));
    leader.stop();
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(waiter.poll?.look(new Map())).toEqual([]);
    expect((await claim(waiter, request("report"))).kind).toBe("held");
    leader.go();
    expect(await leader.prove(bid)).toMatchObject({ kind: "alive" });
  });

  test("is replaced when its lease runs out in mode lease, and is told when it goes on", async () => {
    const directory = temporaryDirectory();
    const leader = await OtherProcess.withSession(directory, 400, "lease");
    const bid = request("report");
    const token = await leader.win(bid);
    const adapter = adapterOn({ directory, mode: "lease" });
    expect(adapter.capabilities.stopped).toEqual({ ttls: 1, plusMs: 60 });
    const waiter = await openSession(adapter);
    await claim(waiter, request("report"));
    leader.stop();
    await untilNews(waiter);
    expect(await win(waiter, request("report"))).toBeGreaterThan(token);
    leader.go();
    expect(await leader.prove(bid)).toMatchObject({ kind: "dead" });
    await expect(leader.claim(request("other"))).rejects.toThrow(/was deleted/);
  });

  test("a process stopped in the middle of a commit deposes nobody: proofs do not need the database", async () => {
    for (const mode of ["lock", "lease"] as const) {
      const directory = temporaryDirectory();
      const session = await openSession(adapterOn({ directory, mode }));
      const bid = request("report");
      await win(session, bid);
      const blocker = new OtherProcess(directory, mode);
      await blocker.ask({ kind: "begin", path: join(directory, "elect.db") });
      blocker.stop();
      expect(await prove(session, bid)).toMatchObject({ kind: "alive", lost: [] });
      await blocker.kill();
    }
  });
});

describe("SQ-3 other code of the process opens and closes a file", () => {
  test("of its session: the kernel drops the lock (the hazard), and the next proof says so", async (context) => {
    if (process.platform !== "linux") context.skip("only Linux shows a process the locks it holds");
    const directory = temporaryDirectory();
    const leader = await OtherProcess.withSession(directory);
    const bid = request("report");
    await leader.win(bid);
    const waiter = await openSession(adapterOn({ directory }));
    await claim(waiter, request("report"));
    const id = (await leader.ask({ kind: "id" })) as string;
    await leader.ask({ kind: "read-file", path: join(directory, "sessions", id) });
    expect(waiter.poll?.look(new Map())).toEqual(["report"]);
    expect(await leader.prove(bid)).toMatchObject({
      kind: "dead",
      reason: expect.stringContaining("dropped") as string,
    });
  });

  test("of the database: nothing is held there between transactions, so nothing is dropped", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    const [one, two] = [request("one"), request("two")];
    await win(session, one);
    readFileSync(join(directory, "elect.db"));
    const other = await OtherProcess.withSession(directory);
    await other.win(request("three"));
    await other.ask({ kind: "end" });
    expect(await win(session, two)).toBe(3n);
    expect(await prove(session, one, two)).toMatchObject({ kind: "alive", lost: [] });
  });

  test("why the journal is not WAL: there, what the process writes afterwards is lost to everybody else", () => {
    const directory = temporaryDirectory();
    const path = join(directory, "wal.db");
    const ours = new DatabaseSync(path);
    onTestFinished(() => ours.close());
    ours.exec("pragma journal_mode = wal; create table t (x); insert into t values (1)");
    // A backup of the directory, in the same process.
    for (const name of readdirSync(directory)) readFileSync(join(directory, name));
    inAnotherProcess(
      `const db = new DatabaseSync(${JSON.stringify(path)}); db.exec("insert into t values (2)"); db.close()`,
    );
    // That process held itself for the last one and deleted the log, which we go on writing to.
    expect(existsSync(`${path}-wal`)).toBe(false);
    ours.exec("insert into t values (3)");
    const seen = inAnotherProcess(
      `const db = new DatabaseSync(${JSON.stringify(path)}); console.log(db.prepare("select count(*) as n from t").get().n)`,
    );
    expect(seen).toBe("2");
  });
});

describe("SQ-4 files are deleted or replaced while somebody leads", () => {
  test.each(["deleted", "replaced"])(
    "the database is %s: the leader's next proof says so, the next session is on the new one",
    async (what) => {
      const directory = temporaryDirectory();
      const adapter = adapterOn({ directory });
      const session = await openSession(adapter);
      const bid = request("report");
      await win(session, bid);
      const path = join(directory, "elect.db");
      if (what === "deleted") unlinkSync(path);
      else {
        writeFileSync(`${path}.backup`, readFileSync(path));
        renameSync(`${path}.backup`, path);
      }
      expect(await prove(session, bid)).toMatchObject({
        kind: "dead",
        reason: expect.stringContaining("replaced") as string,
      });
      await expect(claim(session, request("other"))).rejects.toThrow(/replaced/);
      expect(session.heard.ended).toHaveLength(1);
      session.abandon();
      const next = await openSession(adapter);
      // A restored backup is the same store: core sees its tokens go back and refuses them. A new one is another store.
      expect(next.store === session.store).toBe(what === "replaced");
      await win(next, request("report"));
    },
  );

  test("all sessions are deleted: the leader's next proof says so, and the next session finds its place", async () => {
    const directory = temporaryDirectory();
    const adapter = adapterOn({ directory });
    const session = await openSession(adapter);
    const bid = request("report");
    await win(session, bid);
    rmSync(join(directory, "sessions"), { recursive: true });
    expect(await prove(session, bid)).toMatchObject({ kind: "dead" });
    await openSession(adapter);
  });

  test("the session's file is replaced: the leader's next proof says so", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    const path = join(directory, "sessions", session.id);
    writeFileSync(`${path}.copy`, "");
    renameSync(`${path}.copy`, path);
    expect(await prove(session)).toMatchObject({
      kind: "dead",
      reason: expect.stringContaining("replaced") as string,
    });
  });
});

test("SQ-6 who waits for a busy database does not sleep in the event loop", async () => {
  const directory = temporaryDirectory();
  const session = await openSession(adapterOn({ directory }));
  const bid = request("report");
  await win(session, bid);
  const blocker = new OtherProcess(directory);
  await blocker.ask({ kind: "begin", path: join(directory, "elect.db") });
  blocker.stop();
  let turns = 0;
  let turning = true;
  const turn = (): void => {
    turns++;
    if (turning) setImmediate(turn);
  };
  turn();
  await expect(session.release([bid], call(50))).rejects.toThrow(/locked/);
  turning = false;
  expect(turns).toBeGreaterThan(100);
  // The control: SQLite's own busy handler stops everything else.
  const sleeper = new DatabaseSync(join(directory, "elect.db"));
  onTestFinished(() => sleeper.close());
  sleeper.exec("pragma busy_timeout = 100");
  let turned = false;
  setImmediate(() => (turned = true));
  expect(() => sleeper.exec("begin immediate")).toThrow(/locked/);
  expect(turned).toBe(false);
});

describe("SQ-7 a crash in the middle of the token's commit", () => {
  test(
    "a loop of kills: no token comes twice, and the database opens",
    async () => {
      const directory = temporaryDirectory();
      let last = 0n;
      for (let cycle = 0; cycle < cycles; cycle++) {
        const process = await OtherProcess.withSession(directory);
        process.child.on("message", (message: { token?: bigint }) => {
          if (message.token === undefined) return;
          expect(message.token).toBeGreaterThan(last);
          last = message.token;
        });
        void process.ask({ kind: "loop", election: "report" }).catch(() => {});
        await new Promise((resolve) => process.child.once("message", resolve));
        // Any moment of its next commits.
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
        await process.kill();
      }
      const session = await openSession(adapterOn({ directory }));
      expect(await win(session, request("report"))).toBeGreaterThan(last);
      expect(peek(directory, (database) => database.prepare("pragma integrity_check").get())).toEqual({
        integrity_check: "ok",
      });
    },
    Math.max(20_000, cycles * 1_000),
  );

  test("killed with half of it written to the database: the next who comes rolls back", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    await session.claim(
      Array.from({ length: 500 }, (_, index) => request(`e${index}`)),
      call(),
    );
    const writer = new OtherProcess(directory);
    const path = join(directory, "elect.db");
    const before = statSync(path).mtimeMs;
    // A cache of one page spills the rest to the file before the commit.
    const sql =
      "pragma cache_size = 1; update store set token = token + 1000; update election set metadata = hex(randomblob(900))";
    await writer.ask({ kind: "begin", path, sql });
    await writer.kill();
    expect(statSync(`${path}-journal`).size, "a hot journal is left").toBeGreaterThan(0);
    expect(statSync(path).mtimeMs, "and a database that needs it").toBeGreaterThan(before);
    expect(await win(session, request("next"))).toBe(501n);
    expect(peek(directory, (database) => database.prepare("pragma integrity_check").get())).toEqual({
      integrity_check: "ok",
    });
  });
});

test.each([
  ["half of it", (whole: Buffer) => whole.subarray(0, whole.length / 2)],
  ["something else", () => Buffer.alloc(8192, "x")],
])("SQ-7 killed while it wrote its lease, and left %s: the next who comes sweeps it up", async (_, left) => {
  const directory = temporaryDirectory();
  const dead = await openSession(adapterOn({ directory, mode: "lease" }));
  const token = await win(dead, request("report"));
  dead.abandon();
  const path = join(directory, "sessions", `${dead.id}.lease`);
  writeFileSync(path, left(readFileSync(path)));
  const next = await openSession(adapterOn({ directory, mode: "lease" }));
  expect(existsSync(path)).toBe(false);
  expect(await win(next, request("report"))).toBeGreaterThan(token);
});

describe("SQ-8 what is wrong is said, and what to do", () => {
  test("a damaged database", async () => {
    const directory = temporaryDirectory();
    writeFileSync(
      join(directory, "elect.db"),
      "this is not a database, however long it is looked at".repeat(100),
    );
    await expect(openSession(adapterOn({ directory }))).rejects.toMatchObject({
      code: "ELECT_REFUSED",
      refusal: "corrupt",
    });
  });

  test("a database of something else", async () => {
    const directory = temporaryDirectory();
    const database = new DatabaseSync(join(directory, "elect.db"));
    database.exec("create table users (name)");
    database.close();
    await expect(openSession(adapterOn({ directory }))).rejects.toMatchObject({
      code: "ELECT_REFUSED",
      refusal: "foreign",
    });
  });

  test("a database of a newer version", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    await session.end(call());
    peek(directory, (database) => database.exec("pragma user_version = 99"));
    await expect(openSession(adapterOn({ directory }))).rejects.toMatchObject({
      code: "ELECT_REFUSED",
      refusal: "version",
    });
  });

  test("a file where the directory should be", async () => {
    const directory = join(temporaryDirectory(), "file");
    writeFileSync(directory, "");
    await expect(openSession(adapterOn({ directory }))).rejects.toMatchObject({
      code: "ELECT_REFUSED",
      refusal: "directory",
    });
  });

  test("two modes in one directory, while somebody lives there", async () => {
    const directory = temporaryDirectory();
    const first = await openSession(adapterOn({ directory, mode: "lock" }));
    await expect(openSession(adapterOn({ directory, mode: "lease" }))).rejects.toMatchObject({
      code: "ELECT_REFUSED",
      refusal: "mode",
    });
    const token = await win(first, request("report"));
    await first.end(call());
    const second = await openSession(adapterOn({ directory, mode: "lease" }));
    expect(await win(second, request("report"))).toBeGreaterThan(token);
  });
});

test("SQ-9 after a reboot old sessions are void at once, whatever their leases say", async () => {
  const directory = temporaryDirectory();
  const boot = (id: string, now: number) => ({ clock: { id, now: () => now }, fileSystemType: () => null });
  const before = await openSession(
    adapterOn({ directory, mode: "lease" }, boot("boot-1", 9_000_000)),
    60_000,
  );
  const token = await win(before, request("report"));
  // A machine that goes down writes nothing, and its locks are gone with it.
  before.abandon();
  const after = await openSession(adapterOn({ directory, mode: "lease" }, boot("boot-2", 5)), 60_000);
  expect(await win(after, request("report"))).toBeGreaterThan(token);
});

describe("SQ-11 several handles in one process", () => {
  test("two backends of one process exclude each other, and see each other live", async () => {
    const directory = temporaryDirectory();
    const [one, two] = [
      await openSession(adapterOn({ directory })),
      await openSession(adapterOn({ directory })),
    ];
    const bid = request("report");
    await win(one, bid);
    expect((await claim(two, request("report"))).kind).toBe("held");
    expect(await prove(one, bid)).toMatchObject({ kind: "alive" });
    // Nor does the one that goes take the other's lock along.
    await two.end(call());
    const third = await OtherProcess.withSession(directory);
    expect((await third.claim(request("report"))).kind).toBe("held");
  });

  // The worker forgets its session and collects garbage: a handle that nobody knows of is closed, and its lock with it.
  test("worker threads are candidates like any other; a terminated one's session is dead", async () => {
    const directory = temporaryDirectory();
    const url = new URL("./worker.ts", import.meta.url);
    const worker = new Worker(url, { workerData: { directory }, execArgv: ["--conditions=@elect/source"] });
    onTestFinished(async () => void (await worker.terminate()));
    expect(await new Promise((resolve) => worker.once("message", resolve))).toEqual({ token: 1n });
    const session = await openSession(adapterOn({ directory }));
    const bid = request("report");
    expect((await claim(session, bid)).kind).toBe("held");
    const process = await OtherProcess.withSession(directory);
    expect((await process.claim(request("report"))).kind).toBe("held");
    await worker.terminate();
    expect(session.poll?.look(new Map())).toEqual(["report"]);
    expect(await win(session, bid)).toBe(2n);
  });

  test("asking again and again after one's own sessions leaves no handle open", async (context) => {
    if (process.platform !== "linux") context.skip("handles are counted in /proc");
    const directory = temporaryDirectory();
    const [adapter, own] = [adapterOn({ directory }), await openSession(adapterOn({ directory }))];
    const waiter = await openSession(adapter);
    await win(own, request("report"));
    const open = (): number => readdirSync("/proc/self/fd").length;
    await adapter.read("report", call());
    const before = open();
    for (let round = 0; round < 100; round++) {
      await adapter.read("report", call());
      await claim(waiter, request("report"));
    }
    expect(open()).toBeLessThanOrEqual(before + 2);
  });
});

test("a program that the leader started and that outlives it does not keep its lock", async () => {
  const directory = temporaryDirectory();
  const leader = await OtherProcess.withSession(directory);
  await leader.win(request("report"));
  const pid = (await leader.ask({ kind: "start", program: "sleep", arguments: ["30"] })) as number;
  onTestFinished(() => void process.kill(pid, "SIGKILL"));
  await leader.kill();
  const session = await openSession(adapterOn({ directory }));
  expect(await win(session, request("report"))).toBe(2n);
});

test("10,000 elections cost a process that waits, and one that leads, no more than one", async () => {
  const directory = temporaryDirectory();
  const leader = await openSession(adapterOn({ directory }));
  const waiter = await openSession(adapterOn({ directory }));
  const bids = Array.from({ length: 10_000 }, (_, index) => request(`e${index}`));
  for (let start = 0; start < bids.length; start += 1_000)
    await leader.claim(bids.slice(start, start + 1_000), call());
  await waiter.claim(
    bids.slice(0, 1_000).map(({ election }) => request(election)),
    call(),
  );
  await prove(leader, ...bids);
  const opened: string[] = [];
  const database = join(directory, "elect.db");
  // While nobody changes anything, neither look nor proof reads what it would have to read for each election.
  const before = statSync(database, { bigint: true });
  for (let round = 0; round < 100; round++) opened.push(...(waiter.poll?.look(new Map()) as string[]));
  expect(await prove(leader, ...bids)).toMatchObject({ kind: "alive", lost: [] });
  expect(opened).toEqual([]);
  expect(statSync(database, { bigint: true }).mtimeNs).toBe(before.mtimeNs);
});

function inAnotherProcess(code: string): string {
  const program = `const { DatabaseSync } = require("node:sqlite"); ${code}`;
  const { execFileSync } = process.getBuiltinModule("node:child_process");
  return execFileSync(process.execPath, ["--disable-warning=ExperimentalWarning", "-e", program], {
    encoding: "utf8",
  }).trim();
}
