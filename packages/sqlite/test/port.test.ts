/** The rules of the port, each forced at the point where it could break. */

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { HostClock } from "../src/host-clock.ts";
import {
  adapterOn,
  call,
  claim,
  held,
  nonce,
  openSession,
  OtherProcess,
  peek,
  prove,
  request,
  temporaryDirectory,
  untilNews,
  win,
} from "./rig.ts";

function clockAt(start: number): HostClock & { at: number } {
  const clock = { id: "test", at: start, now: () => clock.at };
  return clock;
}

describe("claiming", () => {
  test("grants a free election, and the same claim again with the same token", async () => {
    const session = await openSession(adapterOn({ directory: temporaryDirectory() }));
    const bid = request("report");
    const first = await claim(session, bid);
    expect(first).toEqual({ kind: "granted", token: 1n });
    expect(await claim(session, bid)).toEqual(first);
  });

  test("reports who holds it, and gives a place among the candidates", async () => {
    const directory = temporaryDirectory();
    const adapter = adapterOn({ directory });
    const leader = await openSession(adapter);
    const waiter = await openSession(adapterOn({ directory }));
    await win(leader, request("report", "first"));
    expect(await claim(waiter, request("report", "second"))).toEqual({
      kind: "held",
      by: { id: "first", token: 1n, metadata: "{}" },
      retryInMs: null,
      patience: null,
    });
    expect(await adapter.read("report", call())).toEqual({ id: "first", token: 1n, metadata: "{}" });
    expect(await adapter.candidates("report", call())).toEqual([
      { id: "first", metadata: "{}" },
      { id: "second", metadata: "{}" },
    ]);
  });

  test("a waiting claim that is made again writes nothing while the election is held", async () => {
    const directory = temporaryDirectory();
    const leader = await openSession(adapterOn({ directory }));
    const waiter = await openSession(adapterOn({ directory }));
    await win(leader, request("report"));
    const bid = request("report");
    await claim(waiter, bid);
    const before = statSync(join(directory, "elect.db"), { bigint: true }).mtimeNs;
    expect((await claim(waiter, bid)).kind).toBe("held");
    expect(statSync(join(directory, "elect.db"), { bigint: true }).mtimeNs).toBe(before);
  });

  test("S2: a record of the own session is held for any other nonce, and its release is hinted to them", async () => {
    const session = await openSession(adapterOn({ directory: temporaryDirectory() }));
    const [one, other] = [request("report", "one"), request("report", "other")];
    await win(session, one);
    expect(await claim(session, other)).toMatchObject({ kind: "held", by: { id: "one" } });
    await session.release([one], call());
    expect(session.heard.hints).toContain("report");
    expect(await win(session, other)).toBe(2n);
  });

  test("tokens rise with every acquisition, of every election, after release and after a new session", async () => {
    const directory = temporaryDirectory();
    const tokens: bigint[] = [];
    for (let round = 0; round < 3; round++) {
      const session = await openSession(adapterOn({ directory }));
      for (const election of ["a", "b", "a"]) {
        const bid = request(election);
        tokens.push(await win(session, bid));
        await session.release([bid], call());
      }
      await session.end(call());
    }
    expect(tokens).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n]);
  });

  test("tokens beyond 2⁵³ keep every digit", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    peek(directory, (database) => database.prepare("update store set token = ?").run(2n ** 62n));
    const bid = request("report");
    expect(await win(session, bid)).toBe(2n ** 62n + 1n);
    expect(await claim(session, bid)).toEqual({ kind: "granted", token: 2n ** 62n + 1n });
  });

  test("one transaction takes a thousand elections, and one death frees them", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    const bids = Array.from({ length: 1_000 }, (_, index) => request(`e${index}`));
    const answers = await session.claim(bids, call());
    expect(answers.map((answer) => (answer.kind === "granted" ? answer.token : null))).toEqual(
      bids.map((_, index) => BigInt(index + 1)),
    );
    session.abandon();
    const next = await openSession(adapterOn({ directory }));
    expect((await next.claim(bids, call())).every(({ kind }) => kind === "granted")).toBe(true);
  });
});

describe("release, dispose, end", () => {
  test("release deletes only what names this session and nonce, and is repeatable", async () => {
    const directory = temporaryDirectory();
    const leader = await openSession(adapterOn({ directory }));
    const other = await openSession(adapterOn({ directory }));
    const bid = request("report", "leader");
    await win(leader, bid);
    await other.release([bid], call());
    await leader.release([{ election: "report", nonce: nonce() }], call());
    expect(await claim(leader, bid)).toEqual({ kind: "granted", token: 1n });
    await leader.release([bid], call());
    await leader.release([bid], call());
    expect(await win(other, request("report"))).toBe(2n);
  });

  test("a release is news for those who wait for something of that session, and for nobody else", async () => {
    const directory = temporaryDirectory();
    const [one, two] = [
      await openSession(adapterOn({ directory })),
      await openSession(adapterOn({ directory })),
    ];
    const [a, b] = [request("a"), request("b")];
    await win(one, a);
    await win(two, b);
    const waiter = await openSession(adapterOn({ directory }));
    await waiter.claim([request("a"), request("b")], call());
    expect(waiter.poll?.look(new Map())).toEqual([]);
    await one.release([a], call());
    expect(waiter.poll?.look(new Map())).toEqual(["a"]);
    expect(waiter.poll?.look(new Map())).toEqual([]);
  });

  test("S4: a claim that is made with an older generation is refused in the transaction", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    const late = peek(directory, (blocker) => {
      blocker.exec("begin immediate; update session set generation = generation + 1");
      // The claim finds the database busy, and is still at it when the generation has risen, as `dispose` raises it.
      const claiming = session.claim([request("report")], call());
      blocker.exec("commit");
      return claiming;
    });
    await expect(late).rejects.toThrow(/came late/);
    expect(peek(directory, (database) => database.prepare("select * from election").all())).toEqual([]);
  });

  test("dispose raises the generation and lets go of what the claim may have got", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    const bid = request("report");
    await win(session, bid);
    await session.dispose([bid], call());
    expect(
      peek(directory, (database) => database.prepare("select generation from session").get()),
    ).toMatchObject({
      generation: 1,
    });
    expect(await win(session, request("report"))).toBe(2n);
  });

  test("end leaves no row and no file, and is news at once", async () => {
    const directory = temporaryDirectory();
    const leader = await openSession(adapterOn({ directory }));
    const waiter = await openSession(adapterOn({ directory }));
    await win(leader, request("report"));
    await claim(waiter, request("report"));
    await leader.end(call());
    expect(existsSync(join(directory, "sessions", leader.id))).toBe(false);
    expect(waiter.poll?.look(new Map())).toEqual(["report"]);
    expect(await win(waiter, request("report"))).toBe(2n);
    await waiter.end(call());
    const rows = peek(directory, (database) =>
      ["session", "election", "waiting"].flatMap((table) => database.prepare(`select * from ${table}`).all()),
    );
    expect(rows).toEqual([]);
    expect(readdirSync(join(directory, "sessions"))).toEqual([]);
  });

  test("a ticket ends the session from another process: its elections are free, and its owner learns it", async () => {
    const directory = temporaryDirectory();
    const other = await OtherProcess.withSession(directory);
    const bid = request("report");
    await other.win(bid);
    const adapter = adapterOn({ directory });
    const waiter = await openSession(adapter);
    await claim(waiter, request("report"));
    const id = (await other.ask({ kind: "id" })) as string;
    await adapter.end(JSON.stringify({ version: 1, session: id }), call());
    await adapter.end(JSON.stringify({ version: 1, session: id }), call());
    expect(waiter.poll?.look(new Map())).toEqual(["report"]);
    expect(await win(waiter, request("report"))).toBe(2n);
    expect(await other.prove(bid)).toMatchObject({ kind: "dead" });
    await expect(other.claim(request("other"))).rejects.toThrow(/row was deleted/);
  });

  test("a ticket of something else is refused", async () => {
    const adapter = adapterOn({ directory: temporaryDirectory() });
    await expect(adapter.end('{"version":1,"session":"../elect.db"}', call())).rejects.toMatchObject({
      code: "ELECT_INVALID_OPTION",
    });
  });
});

describe("the death of a session", () => {
  test("S1: a killed process's session is dead, with all it held, and a poll finds out", async () => {
    const directory = temporaryDirectory();
    const other = await OtherProcess.withSession(directory);
    const bids = [request("a"), request("b")];
    for (const bid of bids) await other.win(bid);
    const waiter = await openSession(adapterOn({ directory }));
    await waiter.claim([request("a"), request("b")], call());
    expect(waiter.poll?.look(new Map())).toEqual([]);
    await other.kill();
    expect(waiter.poll?.look(new Map())).toEqual(["a", "b"]);
    expect(await adapterOn({ directory }).read("a", call())).toBeNull();
    expect(await win(waiter, request("a"))).toBe(3n);
    // One death freed the other, too.
    expect(peek(directory, (database) => database.prepare("select name from election").all())).toEqual([
      { name: "a" },
    ]);
    expect(readdirSync(join(directory, "sessions"))).toEqual([waiter.id]);
  });

  test("S1 in mode lease: the lease decides in the step that declares the death, and no proof undoes it", async () => {
    const directory = temporaryDirectory();
    const clock = clockAt(1_000);
    const host = { clock, fileSystemType: () => null };
    const owner = await openSession(adapterOn({ directory, mode: "lease" }, host), 2_000);
    const challenger = await openSession(adapterOn({ directory, mode: "lease" }, host), 2_000);
    const bid = request("report");
    await win(owner, bid);
    clock.at += 1_990;
    await challenger.prove(held(), call());
    expect((await claim(challenger, request("report"))).kind).toBe("held");
    // A proof in the last moment counts…
    expect(await prove(owner, bid)).toMatchObject({ kind: "alive" });
    clock.at += 1_990;
    await challenger.prove(held(), call());
    expect(challenger.poll?.look(new Map())).toEqual([]);
    expect((await claim(challenger, request("report"))).kind).toBe("held");
    // …and none after the death.
    clock.at += 20;
    expect(challenger.poll?.look(new Map())).toEqual(["report"]);
    expect(await win(challenger, request("report"))).toBe(2n);
    expect(await prove(owner, bid)).toMatchObject({ kind: "dead" });
    await expect(claim(owner, request("other"))).rejects.toThrow(/was deleted/);
    expect(owner.heard.ended).toHaveLength(1);
  });

  test("S3: a session whose lease is over is granted nothing, although nobody has declared it dead", async () => {
    const clock = clockAt(1_000);
    const adapter = adapterOn(
      { directory: temporaryDirectory(), mode: "lease" },
      { clock, fileSystemType: () => null },
    );
    const session = await openSession(adapter, 2_000);
    clock.at += 2_010;
    await expect(claim(session, request("report"))).rejects.toThrow(/lease ran out/);
  });

  test("S5: a record and a session deleted by somebody else are in the next proof", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    const [a, b] = [request("a"), request("b")];
    await win(session, a);
    await win(session, b);
    expect(await prove(session, a, b)).toEqual({ kind: "alive", ttlMs: 10_000, covers: "all", lost: [] });
    peek(directory, (database) => database.exec("delete from election where name = 'b'"));
    expect(await prove(session, a, b)).toMatchObject({ kind: "alive", lost: [{ election: "b" }] });
    peek(directory, (database) => database.exec("pragma foreign_keys = on; delete from session"));
    expect(await prove(session, a)).toMatchObject({ kind: "dead" });
  });

  test("S6: an abandoned session's row and files are swept up by whoever opens the next", async () => {
    const directory = temporaryDirectory();
    const adapter = adapterOn({ directory });
    const leader = await openSession(adapter);
    await win(leader, request("report"));
    const dead = await openSession(adapter);
    await claim(dead, request("report"));
    dead.abandon();
    expect(await adapter.candidates("report", call())).toHaveLength(1);
    const next = await openSession(adapterOn({ directory }));
    expect(readdirSync(join(directory, "sessions")).toSorted()).toEqual([leader.id, next.id].toSorted());
    expect(peek(directory, (database) => database.prepare("select * from waiting").all())).toEqual([]);
  });

  test("S6: a sweeper leaves alone what lives, and takes files that never got a row", async () => {
    const directory = temporaryDirectory();
    const other = await OtherProcess.withSession(directory);
    const orphan = nonce();
    peek(directory, (database) =>
      database.exec(`attach '${join(directory, "sessions", orphan)}' as o; vacuum o`),
    );
    const session = await openSession(adapterOn({ directory }));
    const id = (await other.ask({ kind: "id" })) as string;
    expect(readdirSync(join(directory, "sessions")).toSorted()).toEqual([id, session.id].toSorted());
  });

  test("S6: a session's file deleted by somebody else does not make its election free before its TTL is over", async () => {
    const directory = temporaryDirectory();
    const other = await OtherProcess.withSession(directory, 3_000);
    const bid = request("report");
    await other.win(bid);
    const waiter = await openSession(adapterOn({ directory }));
    const { unlinkSync } = await import("node:fs");
    const id = (await other.ask({ kind: "id" })) as string;
    unlinkSync(join(directory, "sessions", id));
    const own = request("report");
    const answer = await claim(waiter, own);
    expect(answer).toMatchObject({ kind: "held", patience: { leaseMs: 3_000 } });
    // The owner notices with its next proof…
    expect(await other.prove(bid)).toMatchObject({ kind: "dead" });
    // …and core, which has timed the same version for the TTL, says so.
    const version = answer.kind === "held" ? (answer.patience?.version ?? null) : null;
    expect(await win(waiter, { ...own, unchanged: version })).toBe(2n);
  });
});

describe("a busy database", () => {
  test("a claim is held for now, nothing was done; a release waits its turn; proofs need nobody", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    const bid = request("a");
    await win(session, bid);
    const blocker = new OtherProcess(directory);
    await blocker.ask({ kind: "begin", path: join(directory, "elect.db") });
    blocker.stop();
    expect(await claim(session, request("b"))).toEqual({
      kind: "held",
      by: null,
      retryInMs: 25,
      patience: null,
    });
    expect(await prove(session, bid)).toMatchObject({ kind: "alive", lost: [] });
    await expect(session.release([bid], call(50))).rejects.toThrow(/locked/);
    blocker.go();
    const released = session.release([bid], call());
    await blocker.ask({ kind: "commit" });
    await released;
    expect(await win(session, request("a"))).toBe(2n);
  });

  test("a call whose time is up stops waiting, and lands no more", async () => {
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    const blocker = new OtherProcess(directory);
    await blocker.ask({ kind: "begin", path: join(directory, "elect.db") });
    const controller = new AbortController();
    const late = session.claim([request("report")], { signal: controller.signal, timeoutMs: 1_000 });
    controller.abort(new Error("time is up"));
    await expect(late).rejects.toThrow("time is up");
    await blocker.ask({ kind: "commit" });
    expect(peek(directory, (database) => database.prepare("select * from election").all())).toEqual([]);
  });
});

test("a waiter in another process is told by its poll when the leader resigns", async () => {
  const directory = temporaryDirectory();
  const other = await OtherProcess.withSession(directory);
  const bid = request("report");
  await other.win(bid);
  const waiter = await openSession(adapterOn({ directory }));
  await claim(waiter, request("report"));
  const [, news] = [await other.ask({ kind: "release", claims: [bid] }), untilNews(waiter)];
  await news;
  expect(await win(waiter, request("report"))).toBe(2n);
});
