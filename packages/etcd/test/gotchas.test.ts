/**
 * What `etcd3` does that an election must not suffer from, a test for each row of the list of gotchas (A5.3). Each is
 * shown first, with the driver as it comes, and then with the adapter.
 */

import { execFile } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { createServer, type Socket } from "node:net";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { bid, call, eventually, pass, plain, proxyTo, store, target, tokenOf } from "./support.ts";

const run = promisify(execFile);

test("A5.3 Election: it is elected after it has resigned; a claim that was given back while it waited wins nothing", async () => {
  const etcd = store();
  const election = etcd.etcd.namespace(`${etcd.namespace}/`).election("theirs", 5);
  const leading = election.campaign("leads");
  leading.on("error", () => {});
  await new Promise<void>((elected) => leading.once("elected", () => elected()));
  const resigned = election.campaign("resigns");
  resigned.on("error", () => {});
  await eventually("both are in the queue", async () => (await etcd.everything()).length === 2);
  const phantom = new Promise<string>((elected) => resigned.once("elected", () => elected("elected")));
  await resigned.resign();
  await leading.resign();
  expect(await phantom).toBe("elected");
  expect(await etcd.everything(), "and nobody leads").toEqual([]);

  const [a, b] = [await etcd.process(), await etcd.process()];
  const [first, second] = [bid("ours"), bid("ours")];
  tokenOf(await a.claim(first));
  await b.claim(second);
  await b.session.release([second], call());
  await a.session.release([first], call());
  // A hint on the way would come before this one, on the same stream.
  await a.claim(bid("next"));
  const waiting = bid("next");
  await b.claim(waiting);
  await a.session.end(call());
  await b.heard.next("hint next");
  expect(b.heard.all).toEqual([]);
  expect(await b.adapter.read("ours", call())).toBeNull();
});

test("A5.3 ambiguous writes: by default it repeats a transaction whose reply was lost, and our own win reads as a loss", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const retrying = plain(proxy.port);
  const key = etcd.keys.leader("by-hand");
  proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("by-hand"), "cut-after");
  const { succeeded } = await retrying
    .if(key, "Create", "==", 0)
    .then(retrying.put(key).value("me"))
    .commit();
  expect(succeeded, "it says that another won").toBe(false);
  expect(await etcd.etcd.get(key), "and it was us").toBe("me");

  const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
  proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("by-adapter"), "cut-after");
  const request = bid("by-adapter");
  expect(await a.claim(request), "sent once, and open").toMatchObject({ kind: "unknown" });
  tokenOf(await a.claim(request));
});

test("A5.3 deadlines: it has none; ours ends the call and the connection", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const patient = plain(proxy.port);
  await patient.get("a");
  const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
  proxy.silence();
  const forEver = patient.get("a").string();
  forEver.catch(() => {});
  await expect(a.session.prove(new Map(), call(200))).rejects.toThrow(/aborted due to timeout/);
  expect(await Promise.race([forEver, pass(500).then(() => "still waiting")])).toBe("still waiting");
  proxy.heal();
});

test("A5.3 half-open streams: a dead link leaves no socket behind, however often it is tried", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const hosts = `127.0.0.1:${proxy.port}`;
  const sockets: Socket[] = [];
  const opened = (message: unknown) => void sockets.push((message as { socket: Socket }).socket);
  subscribe("net.client.socket", opened);
  onTestFinished(() => void unsubscribe("net.client.socket", opened));
  const open = () => sockets.filter((socket) => !socket.destroyed && socket.remotePort === proxy.port).length;
  const a = await etcd.process({ hosts });
  const patient = plain(proxy.port);
  await patient.get("a");
  expect(open()).toBe(2);
  proxy.silence();
  const forEver = patient.get("a").string();
  forEver.catch(() => {});
  patient.close();
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await expect(a.session.prove(new Map(), call(100))).rejects.toThrow(/etcd at/);
  }
  await eventually("ours are gone", () => open() === 1);
  // Where a link connects, the driver tries on for a second.
  await pass(1_200);
  expect(open(), "that of a client of the driver's that was closed").toBe(1);
  proxy.heal();
  expect(await a.prove()).toMatchObject({ kind: "alive" });
});

test("A5.3 errors: a connection that is reset while it is given up does not end the process", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
  proxy.silence();
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await expect(a.session.prove(new Map(), call(50))).rejects.toThrow(/etcd at/);
    proxy.reset();
  }
  await pass(1_200);
  proxy.heal();
  expect(await a.prove()).toMatchObject({ kind: "alive" });
});

test("A5.3 circuit breaker: however often it failed, the first proof after the outage is made", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const breaking = plain(proxy.port);
  await breaking.get("a");
  const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
  proxy.refuse();
  for (let attempt = 0; attempt < 4; attempt += 1) {
    await expect(breaking.get("a")).rejects.toThrow(/./);
    await expect(a.prove()).rejects.toThrow(/etcd at 127/);
  }
  proxy.heal();
  await expect(breaking.get("a"), "its breaker is open for 5 s").rejects.toThrow(/./);
  expect(await a.prove()).toMatchObject({ kind: "alive" });
});

test("A5.3 close: it leaves streams and leases alive; ours lets the process end by itself", async () => {
  const etcd = store();
  const program = new URL("programs/leave.ts", import.meta.url).pathname;
  const silent = createServer((socket) => socket.on("error", () => {}));
  await new Promise<void>((listening) => silent.listen(0, "127.0.0.1", listening));
  onTestFinished(() => void silent.close());
  const { port } = silent.address() as { port: number };
  const left = (hosts: string, how: string) =>
    run(process.execPath, ["--conditions=@elect/source", program, hosts, etcd.namespace, how], {
      timeout: 20_000,
    });
  const ends = await Promise.all([
    left(`127.0.0.1:${target.port}`, "end"),
    left(`127.0.0.1:${port}`, "unreachable"),
  ]);
  expect(ends.map(({ stdout, stderr }) => stdout + stderr)).toEqual(["closed\n", "closed\n"]);
  expect(await etcd.kept("a"), "revoked").toEqual([]);
  expect(await left(`127.0.0.1:${target.port}`, "abandon")).toEqual({ stdout: "closed\n", stderr: "" });
  expect(await etcd.kept("a"), "left to run out").toHaveLength(2);
  // Core holds the process as long as somebody wants to lead; streams that are merely open do not.
  const idle = await left(`127.0.0.1:${target.port}`, "not at all");
  expect(idle).toEqual({ stdout: "not closed\n", stderr: "" });
});

test("A5.3 watch: its create waits for ever on a silent link, its error ends the process unless heard; ours does neither", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const client = plain(proxy.port);
  const { header } = await client.put(`${etcd.namespace}/x`).value("").exec();
  await client.kv.compact({ revision: header.revision, physical: true });
  const watcher = await client.watch().key("a").startRevision("1").create();
  expect(await new Promise((heard) => watcher.once("error", heard))).toBeInstanceOf(Error);
  proxy.silence();
  const creating = client.watch().key("a").create();
  creating.catch(() => {});
  const observer = etcd.adapter({ hosts: `127.0.0.1:${proxy.port}` });
  await expect(observer.watch("a", () => {}, call(200))).rejects.toThrow(/aborted due to timeout/);
  expect(await Promise.race([creating, pass(300).then(() => "still waiting")])).toBe("still waiting");
  proxy.heal();
});

test("A5.3 half-open streams: on a silent link a watch hears nothing, for ever; our next proof gives the link up, and the watch goes on", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const [a, b] = [await etcd.process(), await etcd.process({ hosts: `127.0.0.1:${proxy.port}` })];
  const [first, second] = [bid("a"), bid("a")];
  tokenOf(await a.claim(first));
  await b.claim(second);
  const heard: string[] = [];
  const watcher = await plain(proxy.port).watch().key(etcd.keys.leader("a")).create();
  for (const event of ["delete", "disconnected", "end", "error"] as const) {
    watcher.on(event as "end", () => heard.push(event));
  }
  proxy.silence();
  await a.session.release([first], call());
  await expect(b.session.prove(new Map(), call(500))).rejects.toThrow(/etcd at/);
  expect(heard, "by the driver's own watcher").toEqual([]);
  proxy.heal();
  await b.prove();
  await b.heard.next("hint a");
  tokenOf(await b.claim(second));
});

test("A5.3 token: revisions past 2⁵³ stay exact", async () => {
  const { leaderOf } = await import("../src/keys.ts");
  const record = { key: Buffer.from("k"), value: Buffer.from("aa.bb\nid\nnull"), lease: "1" };
  expect(
    leaderOf({ ...record, create_revision: "9007199254740993", mod_revision: "9007199254740993" }),
  ).toEqual({
    ...{ mark: "aa.bb", id: "id", metadata: "null" },
    token: 9_007_199_254_740_993n,
  });
});

test("A5.3 a client of the user's: its configuration is copied, its connection is not used", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const client = plain(proxy.port);
  await client.get("a");
  const a = await etcd.process({ client });
  expect(proxy.opened).toBe(2);
  await etcd.process({ client });
  expect(proxy.opened, "nor do two sessions share one").toBe(3);
  client.close();
  expect(await a.prove()).toMatchObject({ kind: "alive" });
  await a.session.end(call());
});
