/** What watches can miss, and what they cost; the numbers are those of the hazard list. */

import { expect, test } from "vitest";
import type { Server } from "../../../integration/servers/src/index.ts";
import {
  bid,
  call,
  eventually,
  nonce,
  ownServer,
  pass,
  proxyTo,
  store,
  tokenOf,
  type Store,
} from "./support.ts";

test("ET-7: whoever waits from a revision that was compacted away asks again after a reconnect, and is woken", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const [a, b] = [await etcd.process(), await etcd.process({ hosts: `127.0.0.1:${proxy.port}` })];
  const [first, second] = [bid("a"), bid("a")];
  tokenOf(await a.claim(first));
  await b.claim(second);
  proxy.refuse();
  await b.heard.next("doubt");
  await compactAllOf(etcd);
  proxy.heal();
  await b.prove();
  await b.heard.next("hint a");
  expect(await b.claim(second), "nothing had happened").toMatchObject({ kind: "held" });
  await a.session.release([first], call());
  await b.heard.next("hint a");
  tokenOf(await b.claim(second));
});

test("ET-7: whoever leads from a revision that was compacted away goes on, and is still watched", async () => {
  const { hosts, server } = await ownServer();
  const etcd = store(hosts);
  const proxy = await proxyTo({ host: "127.0.0.1", port: server.port });
  const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
  const request = bid("a");
  tokenOf(await a.claim(request));
  await compactAllOf(etcd);
  proxy.reset();
  await a.heard.next("doubt");
  expect(await a.prove(request)).toMatchObject({ kind: "alive", lost: [] });
  // Its session and its leader's key: watched, watched on, and anew, as that was too far back.
  await eventually("all are watched", async () => (await messagesTo(server, "Watch")) === 6);
  await etcd.etcd.delete().key(etcd.keys.leader("a"));
  await a.heard.next("lost a");
});

test("ET-7: under compaction and defragmentation without a pause, every hand-over is heard, or found by asking again", async () => {
  const { hosts, client } = await ownServer();
  const etcd = store(hosts);
  const all = [await etcd.process(), await etcd.process()];
  const over = new AbortController();
  const compacting = (async () => {
    while (!over.signal.aborted) {
      const { header } = await client.put("x").value("").exec();
      await client.kv.compact({ revision: header.revision, physical: true });
      await client.maintenance.defragment();
    }
  })();
  let [leader, request] = [all[0]!, bid("a")];
  tokenOf(await leader.claim(request));
  for (let round = 1; round <= 40; round += 1) {
    const [next, waiting] = [all[round % 2]!, bid("a")];
    expect(await next.claim(waiting)).toMatchObject({ kind: "held" });
    await leader.session.release([request], call());
    // 3.5 before .18 loses a deletion at the very revision that is compacted (#19179): core's net is for that.
    await Promise.race([next.heard.next("hint a"), pass(1_000)]);
    tokenOf(await next.claim(waiting));
    [leader, request] = [next, waiting];
  }
  over.abort();
  await compacting;
});

test("ET-8: what happens while the stream of watches is cut is heard when it is back", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const [a, b] = [await etcd.process(), await etcd.process({ hosts: `127.0.0.1:${proxy.port}` })];
  const requests = [bid("a"), bid("b")];
  const seconds = [bid("a"), bid("b"), bid("c")];
  await a.session.claim(requests, call());
  await b.session.claim(seconds, call());
  proxy.refuse();
  await b.heard.next("doubt");
  await a.session.release(requests, call());
  await etcd.etcd.delete().key(etcd.keys.leader("c"));
  proxy.heal();
  await b.prove();
  await Promise.all([b.heard.next("hint a"), b.heard.next("hint b"), b.heard.next("lost c")]);
  expect(b.heard.all).toEqual([]);
});

test("ET-10: a hand-over among 100 candidates wakes one", async () => {
  const etcd = store();
  const leader = await etcd.process();
  const others = await Promise.all(Array.from({ length: 5 }, () => etcd.process()));
  const first = bid("a");
  tokenOf(await leader.claim(first));
  const waiting = [];
  for (let index = 0; index < 100; index += 1) {
    const { session } = others[index % others.length]!;
    const request = bid("a", nonce(), `c${index}`);
    await session.claim([request], call());
    waiting.push({ session, request });
  }
  await leader.session.release([first], call());
  await others[0]!.heard.next("hint a");
  tokenOf((await waiting[0]!.session.claim([waiting[0]!.request], call()))[0]);
  // A second hand-over comes after all the wake-ups of the first.
  await waiting[0]!.session.release([waiting[0]!.request], call());
  await others[1]!.heard.next("hint a");
  expect(others.flatMap(({ heard }) => heard.all)).toEqual([]);
});

test("asking again for a hundred that wait costs two messages, and watches none while nothing has changed", async () => {
  const { hosts, server } = await ownServer();
  const etcd = store(hosts);
  const [a, b] = [await etcd.process(), await etcd.process()];
  const names = Array.from({ length: 100 }, (_, index) => `e-${index}`);
  const [leading, waiting] = [names.map((name) => bid(name)), names.map((name) => bid(name))];
  await a.session.claim(leading, call());
  await b.session.claim(waiting, call());
  const watches = async (count: number) =>
    eventually(`${count} messages about watches`, async () => (await messagesTo(server, "Watch")) === count);
  await watches(202);
  const before = await messagesTo(server, "Txn");
  for (let times = 0; times < 5; times += 1) await b.session.claim(waiting, call());
  expect((await messagesTo(server, "Txn")) - before).toBe(10);
  await a.session.release(leading.slice(0, 3), call());
  for (const name of names.slice(0, 3)) await b.heard.next(`hint ${name}`);
  const answers = await b.session.claim(waiting, call());
  expect(answers.map(({ kind }) => kind).filter((kind) => kind === "granted")).toHaveLength(3);
  // They arrive in order: what asking had sent would be counted by now. Of each of the three, both watches are ended,
  // and the new leader's begins.
  await watches(202 + 9);
});

test("an observer on a link that breaks is told, and goes on watching", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const a = await etcd.process();
  const observer = etcd.adapter({ hosts: `127.0.0.1:${proxy.port}` });
  let told = 0;
  await observer.watch("a", () => (told += 1), call());
  await eventually("the watch is there", () => told === 1);
  proxy.refuse();
  await eventually("told of the break", () => told === 2);
  tokenOf(await a.claim(bid("a")));
  proxy.heal();
  expect(await observer.read("a", call())).not.toBeNull();
  await eventually("watching again", () => told === 3);
  await a.session.end(call());
  await eventually("told of the change", () => told === 4);
});

test("ET-15: no HTTP/2 ping is sent, so that none is one too many", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const types = new Set<number>();
  proxy.observe(({ direction, bytes }) => {
    if (direction === "up") for (const type of frameTypes(bytes)) types.add(type);
  });
  const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
  for (let proofs = 0; proofs < 200; proofs += 1) await a.prove();
  expect(types.has(0) && types.has(1), "DATA and HEADERS").toBe(true);
  expect(types.has(6), "PING").toBe(false);
  expect(proxy.opened, "and no GOAWAY came").toBe(1);
});

/** Every watch that has heard of nothing since begins before what is left: a revision has passed that it would begin at. */
async function compactAllOf({ etcd, namespace }: Store): Promise<void> {
  await etcd.put(`${namespace}/x`).value("");
  const { header } = await etcd.put(`${namespace}/x`).value("").exec();
  await etcd.kv.compact({ revision: header.revision, physical: true });
}

/** How many messages of one kind the server has received, by its own count. */
async function messagesTo({ port }: Server, method: "Txn" | "Watch"): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const counter = `grpc_server_msg_received_total{grpc_method="${method}",grpc_service="etcdserverpb`;
  const line = metrics.split("\n").find((each) => each.startsWith(counter));
  return Number(line?.split(" ").at(-1));
}

/** The types of the HTTP/2 frames in a chunk that begins with one; answers to the server's own pings do not count. */
function frameTypes(chunk: Buffer): number[] {
  const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  let at = chunk.toString("latin1").startsWith(preface) ? preface.length : 0;
  const types: number[] = [];
  while (at + 9 <= chunk.length) {
    const acknowledges = (chunk[at + 4]! & 1) === 1 && chunk[at + 3]! > 1;
    if (!acknowledges) types.push(chunk[at + 3]!);
    at += 9 + chunk.readUIntBE(at, 3);
  }
  return types;
}
