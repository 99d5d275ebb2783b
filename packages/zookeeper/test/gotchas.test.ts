/**
 * What is known to go wrong with the driver (A5.4), each hazard first shown with the driver as it is, so that we learn
 * when it has been mended. Connections are in connecting.test.ts, ZooKeeper itself (ZK-n) is in hazards.test.ts.
 */

import { once } from "node:events";
import { RefusedError } from "@elect/core/adapter";
import { describe, expect, onTestFinished, test } from "vitest";
import { DriverGuard } from "../src/driver-guard.ts";
import { tokenOf } from "../src/paths.ts";
import { fakeServer, int, op } from "./fake-server.ts";
import { guarded, raw } from "./raw-driver.ts";
import { call, makeLink, zookeeper } from "./support.ts";

const nothing = Buffer.alloc(0);

describe("A5.4 crashes: what the driver throws in its socket handler", () => {
  for (const [error, meaning] of [
    [-122, "reconfiguration disabled"],
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
      await expect(failed).rejects.toThrow(`error ${error}`);
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
      await expect(link.during(call(), (wire) => wire.setData("/a", nothing))).rejects.toThrow(
        /No connection to ZooKeeper/,
      );
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
    await expect(wire.setData("/late", nothing)).rejects.toThrow(/No connection/);
    await link.during(call(), (next) => next.read("/a"));
    expect(fake.connections[3]!.seen).toEqual([op.getData]);
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

  test("order on reconnect: what a connection did not get to send, as it was never accepted, is not sent by the next", async () => {
    const fake = await fakeServer();
    const { client } = await raw(fake.port);
    client.addAuthInfo("digest", Buffer.from("user:secret"));
    const accept = fake.greet;
    let refused = 0;
    fake.greet = ({ socket }) => {
      refused += 1;
      socket.destroy();
      if (refused === 2) fake.greet = accept;
    };
    fake.connections[0]!.socket.destroy();
    await once(client, "connected");
    await expect.poll(() => fake.connections[3]!.seen).toEqual([op.auth, op.auth, op.auth]);

    fake.greet = ({ socket }) => socket.destroy();
    const link = makeLink({ url: `zookeeper://user:secret@127.0.0.1:${fake.port}` });
    onTestFinished(() => link.abandon());
    for (let n = 0; n < 2; n += 1)
      await expect(link.during(call(), (wire) => wire.read("/a"))).rejects.toThrow(/No connection/);
    fake.greet = accept;
    await link.during(call(), (wire) => wire.read("/a"));
    expect(fake.connections.at(-1)!.seen).toEqual([op.auth, op.getData]);
  });
});

test("A5.4 token: the czxid, exactly, also beyond 2⁵³", () => {
  const czxid = Buffer.alloc(8);
  czxid.writeBigInt64BE((0x7fff_ffffn << 32n) | 0x1234_5678n);
  expect(tokenOf({ czxid })).toBe(0x7fff_ffff_1234_5678n);
});

test("A5.4 types: a driver that is built differently is refused, not guessed at", () => {
  expect(() => new DriverGuard({ connectionManager: {} }, { closing() {}, closed() {} })).toThrow(
    RefusedError,
  );
});
