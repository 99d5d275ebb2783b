/**
 * What is known to go wrong with the driver (A5.4) and with elections on ZooKeeper (ZK-n). Each hazard of the
 * driver is first shown with the driver as it is, so that we learn when it has been mended.
 */

import { once } from "node:events";
import { createServer } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { InvalidOptionError, RefusedError } from "@elect/core/adapter";
import { openFaultProxy } from "@elect/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { ZooKeeperAdapter } from "../src/adapter.ts";
import type { Link } from "../src/client.ts";
import { mode } from "../src/driver.ts";
import { resolveOptions } from "../src/options.ts";
import { inWaitingOrder } from "../src/paths.ts";
import { fakeServer, int, op, stat, type FakeServer } from "./fake-server.ts";
import {
  bid,
  call,
  claim,
  granted,
  Heard,
  hosts,
  makeLink,
  nonce,
  store,
  target,
  url,
  zookeeper,
} from "./support.ts";

const nothing = Buffer.alloc(0);
const none: ReadonlyMap<string, never> = new Map<string, never>();

interface Inside extends NodeJS.EventEmitter {
  connectionManager: {
    onSocketData(chunk: Buffer): void;
    socket?: { destroy(): void };
    packetQueue: { queue: unknown[] };
    pendingBuffer: Buffer | null;
  };
}

type Raw = zookeeper.Client & Inside;

/** The driver as it is. What it throws in its socket handler, and would end the process, is collected instead. */
async function raw(port: number): Promise<{ client: Raw; thrown: Error[] }> {
  const client = zookeeper.createClient(`127.0.0.1:${port}`, { sessionTimeout: 4_000 }) as Raw;
  const thrown: Error[] = [];
  const manager = client.connectionManager;
  const original = manager.onSocketData;
  manager.onSocketData = function (chunk) {
    try {
      original.call(manager, chunk);
    } catch (error) {
      thrown.push(error as Error);
    }
  };
  onTestFinished(() => {
    (manager as { connect?: () => void }).connect = () => {};
    manager.socket?.destroy();
  });
  client.connect();
  await once(client, "connected");
  return { client, thrown };
}

function guarded(fake: FakeServer, heard: string[] = []): Link {
  const link = makeLink(
    fake.url,
    {
      connected: (first) => void heard.push(first ? "connected" : "reconnected"),
      disconnected: () => void heard.push("disconnected"),
      ended: (reason) => void heard.push(`ended: ${reason.message}`),
    },
    4_000,
  );
  onTestFinished(() => link.abandon());
  return link;
}

describe("A5.4 crashes: what the driver throws in its socket handler", () => {
  for (const [error, meaning] of [
    [-125, "quota exceeded"],
    [-118, "session moved"],
    [-127, "throttled"],
    [-999, "one that is not invented yet"],
  ] as const) {
    test(`an error code that it does not know: ${error}, ${meaning}`, async () => {
      const fake = await fakeServer(({ connection, xid, type }) => {
        if (type !== op.setData) return undefined;
        connection.reply(xid, error);
        return "handled";
      });
      const { client, thrown } = await raw(fake.port);
      client.setData("/a", nothing, () => {});
      await expect.poll(() => thrown.map(({ message }) => message)).toEqual([`Unknown code: ${error}`]);

      const link = guarded(fake);
      const failed = link.during(call(), (wire) => wire.setData("/a", nothing));
      if (error === -125) await expect(failed).rejects.toThrow(RefusedError);
      else await expect(failed).rejects.toMatchObject({ code: error });
      // That one call has failed, and nothing else: same connection, next request.
      await link.during(call(), (wire) => wire.read("/a"));
      expect(fake.connections).toHaveLength(2);
    });
  }

  test("an error code that it does not know, within a multi", async () => {
    const failing = Buffer.concat([
      ...[int(-1), Buffer.from([0]), int(0), int(0)],
      ...[int(-1), Buffer.from([0]), int(-125), int(-125)],
      ...[int(-1), Buffer.from([1]), int(-1)],
    ]);
    const fake = await fakeServer(({ connection, xid, type }) => {
      if (type !== op.multi) return undefined;
      connection.reply(xid, 0, failing);
      return "handled";
    });
    const { client, thrown } = await raw(fake.port);
    client
      .transaction()
      .check("/a")
      .create("/a/b")
      .commit(() => {});
    await expect.poll(() => thrown.map(({ message }) => message)).toEqual(["Unknown code: -125"]);

    const link = guarded(fake);
    await expect(link.during(call(), (wire) => wire.sync("/a"))).rejects.toThrow(RefusedError);
    await link.during(call(), (wire) => wire.read("/a"));
    expect(fake.connections).toHaveLength(2);
  });

  test("an event type that it does not know", async () => {
    const fake = await fakeServer(({ connection, type }) => {
      if (type === op.setData) connection.notify(5, "/a");
      return undefined;
    });
    const { client, thrown } = await raw(fake.port);
    client.setData("/a", nothing, () => {});
    await expect.poll(() => thrown.map(({ message }) => message)).toEqual(["Unknown event type: 5"]);

    const heard: string[] = [];
    const link = guarded(fake, heard);
    await expect(link.during(call(), (wire) => wire.setData("/a", nothing))).rejects.toThrow(
      /could not digest/,
    );
    // A watch may have been lost with it: whoever watches looks again on the next connection.
    await link.during(call(), (wire) => wire.read("/a"));
    expect(heard).toEqual(["connected", "disconnected", "reconnected"]);
  });

  for (const [what, bytes] of [
    ["an empty frame", int(0)],
    ["a frame of a negative size", int(-5)],
    ["a frame too short for a header", Buffer.concat([int(3), Buffer.from("abc")])],
    [
      "a reply that does not parse",
      Buffer.concat([int(26), int(0), Buffer.alloc(8), int(0), Buffer.alloc(10)]),
    ],
  ] as const) {
    test(what, async () => {
      const fake = await fakeServer(({ connection, type }) => {
        if (type !== op.setData) return undefined;
        connection.socket.write(bytes);
        return "handled";
      });
      const { client, thrown } = await raw(fake.port);
      client.setData("/a", nothing, () => {});
      await expect.poll(() => thrown.length).toBeGreaterThan(0);

      const link = guarded(fake);
      await expect(link.during(call(), (wire) => wire.setData("/a", nothing))).rejects.toThrow();
      await link.during(call(), (wire) => wire.read("/a"));
      expect(fake.connections, "the driver's own, the broken one, and the next").toHaveLength(3);
    });
  }

  test("close() before it has connected", async () => {
    const client = zookeeper.createClient("127.0.0.1:1");
    expect(() => client.close()).toThrow(TypeError);

    const link = makeLink("zookeeper://127.0.0.1:1");
    await expect(link.closeSession(call())).rejects.toThrow(/ECONNREFUSED/);
    link.abandon();
    const unused = makeLink("zookeeper://127.0.0.1:1");
    unused.abandon();
  });
});

describe("A5.4 what the driver keeps over a reconnect", () => {
  test("stale bytes: half a frame is not put in front of the next connection's handshake", async () => {
    const half = Buffer.concat([int(400), Buffer.alloc(30)]);
    const fake = await fakeServer(({ connection, type }) => {
      if (type !== op.setData) return undefined;
      connection.socket.write(half);
      connection.socket.end();
      return "handled";
    });
    const { client } = await raw(fake.port);
    client.setData("/a", nothing, () => {});
    await once(client, "disconnected");
    expect(client.connectionManager.pendingBuffer).toHaveLength(half.length);

    const link = guarded(fake);
    await expect(link.during(call(), (wire) => wire.setData("/a", nothing))).rejects.toThrow(
      /No connection|was lost/,
    );
    await link.during(call(), (wire) => wire.read("/a"));
  });

  test("stuck calls: what is asked while disconnected is sent whenever a connection comes; ours fails", async () => {
    const fake = await fakeServer();
    const { client } = await raw(fake.port);
    fake.connections[0]!.socket.destroy();
    await once(client, "disconnected");
    client.setData("/late", nothing, () => {});
    await once(client, "connected");
    await expect.poll(() => fake.connections[1]!.seen).toEqual([op.setData]);

    const link = guarded(fake);
    const wire = await link.during(call(), async () => link.wire());
    fake.connections[2]!.socket.destroy();
    await expect.poll(() => wire.open).toBe(false);
    await expect(wire.setData("/late", nothing)).rejects.toThrow();
    await link.during(call(), (next) => next.read("/a"));
    expect(fake.connections[3]!.seen).toEqual([op.getData]);
  });

  test("what back-pressure kept from being sent fails with its connection", async () => {
    const fake = await fakeServer(() => "handled");
    const link = guarded(fake);
    const big = Buffer.alloc(900_000);
    const all = link.during(call(), (wire) =>
      Promise.allSettled(Array.from({ length: 40 }, () => wire.setData("/a", big))),
    );
    await expect.poll(() => fake.connections[0]?.seen.length).toBeGreaterThan(0);
    fake.connections[0]!.socket.pause();
    fake.script = () => undefined;
    await nextTurn();
    fake.connections[0]!.socket.destroy();
    expect(new Set((await all).map(({ status }) => status))).toEqual(new Set(["rejected"]));
    await link.during(call(), (wire) => wire.read("/a"));
    expect(fake.connections[1]!.seen, "nothing of the former connection").toEqual([op.getData]);
  });

  test("watches: they are not set again in one packet, which past 1 MB no server takes", async () => {
    const fake = await fakeServer();
    const { client } = await raw(fake.port);
    await new Promise<void>((done) =>
      client.getData(
        "/a",
        () => {},
        () => done(),
      ),
    );
    fake.connections[0]!.socket.destroy();
    await once(client, "connected");
    await expect.poll(() => fake.connections[1]!.seen).toEqual([op.setWatches]);

    const heard: string[] = [];
    const link = guarded(fake, heard);
    await link.during(call(), (wire) => wire.read("/a", () => void heard.push("changed")));
    fake.connections[2]!.socket.destroy();
    await expect.poll(() => heard).toContain("disconnected");
    await link.during(call(), (wire) => wire.read("/b"));
    expect(fake.connections[3]!.seen).toEqual([op.getData]);
  });

  test("order on reconnect: AUTH goes first, before any request of ours, every time and once", async () => {
    const fake = await fakeServer();
    const link = makeLink({ url: `zookeeper://user:secret@127.0.0.1:${fake.port}` });
    onTestFinished(() => link.abandon());
    for (let n = 0; n < 3; n += 1) {
      await link.during(call(), (wire) => wire.read("/a"));
      expect(fake.connections[n]!.seen).toEqual([op.auth, op.getData]);
      fake.connections[n]!.socket.destroy();
      await expect.poll(() => link.connected).toBe(false);
    }
  });
});

describe("A5.4 connecting and closing", () => {
  test("ZK-1 read timeout: on a silent link the driver notices nothing; a call of ours is over in time", async () => {
    const fake = await fakeServer(() => "handled");
    const { client } = await raw(fake.port);
    let told = false;
    client.on("state", () => (told = true));
    const heard: string[] = [];
    const link = guarded(fake, heard);
    const ask = link.during(call(200), (wire) => wire.setData("/a", nothing));
    await expect(ask).rejects.toThrow(/given up/);
    await expect.poll(() => heard).toEqual(["connected", "disconnected"]);
    expect(told).toBe(false);
  });

  test("a handshake that is never answered is bounded by the call", async () => {
    const fake = await fakeServer();
    fake.greet = () => {};
    const link = guarded(fake);
    await expect(link.during(call(100), (wire) => wire.read("/a"))).rejects.toThrow(/given up/);
    fake.greet = (connection) => connection.accept(4_000);
    await link.during(call(), (wire) => wire.read("/a"));
  });

  test("ZK-15: a server that closes at once (maxClientCnxns) is reported, and not dialled again by itself", async () => {
    let accepted = 0;
    const server = createServer((socket) => {
      accepted += 1;
      socket.on("error", () => {});
      socket.destroy();
    });
    onTestFinished(() => void server.close());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const link = makeLink(`zookeeper://127.0.0.1:${port}`);
    onTestFinished(() => link.abandon());
    await expect(link.during(call(), (wire) => wire.read("/a"))).rejects.toThrow(
      /No connection to ZooKeeper/,
    );
    await nextTurn();
    expect(accepted).toBe(1);
  });

  test("ZK-12: letting go while connecting leaves no timer and no connection behind", async () => {
    const fake = await fakeServer();
    fake.greet = () => {};
    const link = guarded(fake);
    const ask = link.during(call(), (wire) => wire.read("/a"));
    await expect.poll(() => fake.connections).toHaveLength(1);
    const closed = new Promise((close) => fake.connections[0]!.socket.once("close", close));
    link.abandon();
    await expect(ask).rejects.toThrow(/let go/);
    await closed;
    expect(fake.connections).toHaveLength(1);
  });

  test("ZK-12: a session ends in bounded time while its server is silent or gone", async () => {
    const zk = store();
    const proxy = await openFaultProxy(target);
    onTestFinished(async () => proxy.close());
    const { session } = await zk.open({ url: `zookeeper://127.0.0.1:${proxy.port}` });
    const refusing = await openFaultProxy(target);
    onTestFinished(async () => refusing.close());
    proxy.silence();
    await expect(session.end(call(100))).rejects.toThrow(/given up/);
    const { session: gone } = await zk.open({ url: `zookeeper://127.0.0.1:${refusing.port}` });
    refusing.refuse();
    await expect(gone.end(call())).rejects.toThrow(/No connection/);
    gone.abandon();
    await zk.adapter().end(gone.ticket, call());
    await zk.adapter().end(session.ticket, call());
  });

  test("A5.4 user callbacks: what listens to events runs outside of the driver's socket handler", async () => {
    const fake = await fakeServer();
    const stacks: string[] = [];
    const link = makeLink(fake.url, {
      connected: () => void stacks.push(new Error("connected").stack ?? ""),
      disconnected() {},
      ended() {},
    });
    onTestFinished(() => link.abandon());
    await link.during(call(), (wire) => wire.read("/a"));
    await expect.poll(() => stacks).toHaveLength(1);
    expect(stacks[0]).not.toContain("ConnectionManager");
  });

  test("A5.4 watches: one listener for each path, however many watch it", async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error): void => void warnings.push(warning);
    process.on("warning", listen);
    onTestFinished(() => void process.off("warning", listen));
    const fake = await fakeServer();
    const link = guarded(fake);
    let told = 0;
    const wire = await link.during(call(), async () => link.wire());
    for (let n = 0; n < 20; n += 1) await wire.read("/a", () => void (told += 1));
    fake.connections[0]!.notify(2, "/a");
    await expect.poll(() => told).toBe(20);
    expect(warnings).toEqual([]);
  });
});

describe("A5.4 options", () => {
  for (const [what, text, option] of [
    ["an IPv6 literal", "zookeeper://[::1]:2181", "url"],
    ["no host", "zookeeper:///chroot", "url"],
    ["a port that is none", "zookeeper://h1:99999", "url"],
    ["another scheme", "redis://h1", "url"],
    ["a parameter that means nothing", "zookeeper://h1/?ttl=3", "ttl"],
    ["an ACL that means nothing", "zookeeper://h1/?acl=mine", "acl"],
    ["a chroot with an empty segment", "zookeeper://h1/a//b", "chroot"],
    ["a namespace of two segments", "zookeeper://h1/?namespace=a/b", "namespace"],
    ["half an escape", "zookeeper://h1/%E0%A4%A", "url"],
  ] as const) {
    test(`refuse ${what}`, () => {
      expect(() => resolveOptions(text)).toThrow(InvalidOptionError);
      expect(() => resolveOptions(text)).toThrow(expect.objectContaining({ option }));
    });
  }

  test("take servers, chroot, credentials and namespace from a URL, and show no credentials", () => {
    const options = resolveOptions("zookeeper://us%40er:se%3Acret@h1,h2:2182/a/b?namespace=n&acl=open");
    expect(options).toMatchObject({ servers: "h1,h2:2182", chroot: "/a/b", namespace: "n" });
    expect(options.auth).toEqual([{ scheme: "digest", value: Buffer.from("us@er:se:cret") }]);
    expect(options.address).toBe("zookeeper://h1,h2:2182/a/b");
    expect(() => resolveOptions({ url: "zookeeper://user:secret@[::1]" })).toThrow(/^(?!.*secret)/);
  });

  test("take everything from a client of the user's, which is left alone", () => {
    const client = zookeeper.createClient("h1:2181,h2:2182/base", { sessionTimeout: 1_000 });
    client.addAuthInfo("digest", Buffer.from("user:secret"));
    const options = resolveOptions({ client });
    expect(options.servers.split(",").toSorted()).toEqual(["h1:2181", "h2:2182"]);
    expect(options).toMatchObject({ chroot: "/base", auth: [{ scheme: "digest" }] });
    expect(() => resolveOptions({ client: { getSessionTimeout: () => 0 } })).toThrow(InvalidOptionError);
    expect(() => resolveOptions({})).toThrow(InvalidOptionError);
  });

  test("a driver that is built differently is refused, not guessed at", async () => {
    const { DriverGuard } = await import("../src/driver-guard.ts");
    expect(() => new DriverGuard({ connectionManager: {} }, { closing() {}, closed() {} })).toThrow(
      RefusedError,
    );
  });
});

describe("ZooKeeper's own hazards", () => {
  test("ZK-3: the connection is cut right after the place was created: found by its nonce, no orphan ahead", async () => {
    const zk = store();
    const proxy = await openFaultProxy(target);
    onTestFinished(async () => proxy.close());
    const [a, b] = [await zk.open(), await zk.open({ url: `zookeeper://127.0.0.1:${proxy.port}` })];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    proxy.once(
      ({ direction, bytes }) => direction === "up" && bytes.includes(`c-${second.nonce}-`),
      "cut-after",
    );
    expect(await claim(b.session, second)).toMatchObject({ kind: "unknown" });
    expect(await claim(b.session, second)).toMatchObject({ kind: "held" });
    expect(await a.adapter.candidates("a", call()), "two places, not three").toHaveLength(2);
    await a.session.release([first], call());
    await b.heard.next("hint a");
    await granted(b.session, second);
  });

  test("ZK-4: the same, and the session ends before the retry: the old place is gone, a new one is used", async () => {
    const zk = store();
    const proxy = await openFaultProxy(target);
    onTestFinished(async () => proxy.close());
    const a = await zk.open({ url: `zookeeper://127.0.0.1:${proxy.port}` });
    const request = bid("a");
    proxy.once(
      ({ direction, bytes }) => direction === "up" && bytes.includes(`c-${request.nonce}-`),
      "cut-after",
    );
    expect(await claim(a.session, request)).toMatchObject({ kind: "unknown" });
    await zk.adapter().end(a.session.ticket, call());
    const again = await zk.open();
    await granted(again.session, request);
    expect(await again.adapter.candidates("a", call())).toHaveLength(1);
  });

  test("ZK-5: a reconnect keeps the session; a predecessor deleted meanwhile is noticed", async () => {
    const zk = store();
    const proxy = await openFaultProxy(target);
    onTestFinished(async () => proxy.close());
    const [a, b] = [await zk.open(), await zk.open({ url: `zookeeper://127.0.0.1:${proxy.port}` })];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    await claim(b.session, second);
    proxy.refuse();
    await b.heard.next("doubt");
    await a.session.release([first], call());
    proxy.heal();
    await expect(b.session.prove(none, call())).resolves.toMatchObject({ kind: "alive" });
    await b.heard.next("hint *");
    await granted(b.session, second);
  });

  test("ZK-6: after an expiry all promises settle, and the next session is a new client", async () => {
    const zk = store();
    const proxy = await openFaultProxy(target);
    onTestFinished(async () => proxy.close());
    const through = `zookeeper://127.0.0.1:${proxy.port}`;
    const a = await zk.open({ url: through });
    await granted(a.session, bid("a"));
    proxy.silence();
    const asked = [a.session.prove(none, call(300)), a.session.claim([bid("b")], call(300))];
    await zk.adapter().end(a.session.ticket, call());
    const settled = await Promise.allSettled(asked);
    expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    proxy.heal();
    await expect(a.session.prove(none, call())).resolves.toMatchObject({ kind: "dead" });
    await a.heard.next("ended");
    const again = await zk.open({ url: through });
    expect(again.session.id).not.toBe(a.session.id);
    await granted(again.session, bid("a"));
  });

  test("ZK-6: a session that really expires is replaced by the next in the queue", async () => {
    const zk = store();
    const proxy = await openFaultProxy(target);
    onTestFinished(async () => proxy.close());
    const a = await zk.open({ url: `zookeeper://127.0.0.1:${proxy.port}`, ttlMs: 1_000 });
    const b = await zk.open();
    const second = bid("a");
    const token = await granted(a.session, bid("a"));
    await claim(b.session, second);
    proxy.silence();
    await b.heard.next("hint a");
    expect(await granted(b.session, second)).toBeGreaterThan(token);
    proxy.heal();
    // The server has closed the connection, too; the next one is told why.
    await a.heard.next("doubt");
    await expect(a.session.prove(none, call())).resolves.toMatchObject({ kind: "dead" });
  });

  test("ZK-9: the negotiated timeout counts; one that is shorter than asked for is refused with the remedy", async () => {
    const zk = store();
    const { session } = await zk.open({ ttlMs: 500 });
    expect(session.ttlMs, "two ticks").toBeGreaterThanOrEqual(500);
    const fake = await fakeServer();
    const adapter = new ZooKeeperAdapter(resolveOptions(fake.url));
    const opening = adapter.open({ ttlMs: 4_001, nonce: nonce(), events: new Heard() }, call());
    await expect(opening).rejects.toThrow(RefusedError);
    await expect(opening).rejects.toThrow(/4000 ms at most.*maxSessionTimeout/);
  });

  test("ZK-10: order holds while the counter runs over 2³¹, and the counter of a new queue starts at 0", () => {
    const n = (sequence: number): string => `c-${"ab".repeat(16)}-${format(sequence)}`;
    const running = [2147483646, 2147483647, -2147483648, -2147483647].map(n);
    for (const shuffled of [running.toReversed(), [running[2]!, running[0]!, running[3]!, running[1]!]]) {
      expect(inWaitingOrder(shuffled).map(({ node }) => node)).toEqual(running);
    }
    const later = [-2, -1, 0, 1].map(n);
    expect(inWaitingOrder(later.toReversed()).map(({ node }) => node)).toEqual(later);
  });

  test("ZK-13: a chroot is created; foreign children of an election are not candidates", async () => {
    const zk = store();
    const chroot = `/${zk.namespace}/deep/er`;
    const { session, adapter } = await zk.open({ url: `${url}${chroot}`, namespace: "n" });
    const operator = await zk.operator();
    await granted(session, bid("a", nonce(), "me"));
    await operator.create(`${chroot}/n/elections/a/0000-foreign`, nothing, mode.persistent);
    await operator.create(`${chroot}/n/elections/a/c-foreign`, Buffer.from("?"), mode.ephemeralSequential);
    expect(await claim(session, bid("a"))).toMatchObject({ kind: "held", by: { id: "me" } });
    expect((await adapter.candidates("a", call())).map(({ id }) => id)).toEqual(["me", "candidate"]);
  });

  test("ZK-13: what is not ours to read, or not to write, is refused with the remedy", async () => {
    const zk = store();
    const withAuth = `zookeeper://user:secret@${hosts}`;
    const owner = await zk.open({ url: withAuth });
    const request = bid("a");
    await granted(owner.session, request);
    // The same credentials: one of us.
    const friend = await zk.open({ url: withAuth });
    expect(await claim(friend.session, bid("a"))).toMatchObject({ kind: "held" });
    // None.
    const stranger = zk.adapter();
    await expect(stranger.read("a", call())).rejects.toMatchObject({ refusal: "permission" });
    const opening = stranger.open({ ttlMs: 5_000, nonce: nonce(), events: new Heard() }, call());
    await expect(opening).rejects.toMatchObject({ refusal: "permission" });
    await expect(opening).rejects.toThrow(/^(?!.*secret)/);
    // Cleans up with the right to do so.
    await owner.session.release([request], call());
    await owner.session.end(call());
    await friend.session.end(call());
    const link = makeLink(withAuth);
    await link.during(call(), async (wire) => {
      for (const path of [zk.paths.election("a"), zk.paths.elections, zk.paths.sessions, zk.paths.base]) {
        for (const child of (await wire.children(path)) ?? []) await wire.remove(`${path}/${child}`);
        await wire.remove(path);
      }
    });
    await link.closeSession(call());
  });

  test("ZK-13: an ACL of the creator's without credentials is refused", async () => {
    const adapter = store().adapter({ acl: "creator" });
    const opening = adapter.open({ ttlMs: 5_000, nonce: nonce(), events: new Heard() }, call());
    await expect(opening).rejects.toMatchObject({ refusal: "acl" });
  });

  test("ZK-15: credentials that the server does not accept are a refusal, not a retry", async () => {
    const fake = await fakeServer(({ connection, xid, type }) => {
      if (type !== op.auth) return undefined;
      connection.reply(xid, -115);
      connection.socket.end();
      return "handled";
    });
    const adapter = new ZooKeeperAdapter(resolveOptions(`zookeeper://user:secret@127.0.0.1:${fake.port}`));
    const opening = adapter.open({ ttlMs: 4_000, nonce: nonce(), events: new Heard() }, call());
    await expect(opening).rejects.toMatchObject({ refusal: "authentication" });
    expect(fake.connections).toHaveLength(1);
  });

  test("ZK-16: every session is one of its own; one that was moved away says it is over", async () => {
    const zk = store();
    const [a, b] = [await zk.open(), await zk.open()];
    expect(a.session.id).not.toBe(b.session.id);
    await zk.adapter().end(a.session.ticket, call());
    await a.heard.next("doubt");
    await expect(a.session.prove(none, call())).resolves.toMatchObject({ kind: "dead" });
    await expect(b.session.prove(none, call())).resolves.toMatchObject({ kind: "alive" });
  });

  test("A5.4 token: the czxid, exactly, also beyond 2⁵³", async () => {
    const { tokenOf } = await import("../src/paths.ts");
    const czxid = Buffer.alloc(8);
    czxid.writeBigInt64BE((0x7fff_ffffn << 32n) | 0x1234_5678n);
    expect(tokenOf({ czxid, ctime: stat(), version: 0, ephemeralOwner: stat() })).toBe(
      0x7fff_ffff_1234_5678n,
    );
  });
});

/** As Java's `%010d` writes it. */
function format(sequence: number): string {
  return sequence < 0 ? `-${String(-sequence).padStart(9, "0")}` : String(sequence).padStart(10, "0");
}
