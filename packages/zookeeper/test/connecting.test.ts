/** A5.4, ZK-12, ZK-15: connecting, listening and closing, with the driver and without a server that behaves. */

import { once } from "node:events";
import { createServer } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { openFaultProxy } from "@elect/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ZooKeeperAdapter } from "../src/adapter.ts";
import { resolveOptions } from "../src/options.ts";
import { fakeServer, int, op, stat } from "./fake-server.ts";
import { guarded, raw } from "./raw-driver.ts";
import { call, Heard, makeLink, nonce, store, target, zookeeper } from "./support.ts";

const nothing = Buffer.alloc(0);

describe("A5.4 connecting and closing", () => {
  test("A5.4 read timeout, ZK-1: on a silent link the driver notices nothing; a call of ours is over in time", async () => {
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

  test("A5.4 connect: a handshake that is never answered is bounded by the call", async () => {
    const fake = await fakeServer();
    fake.greet = () => {};
    const link = guarded(fake);
    await expect(link.during(call(100), (wire) => wire.read("/a"))).rejects.toThrow(/given up/);
    fake.greet = (connection) => connection.accept(4_000);
    await link.during(call(), (wire) => wire.read("/a"));
  });

  test.for(["ends", "resets"] as const)(
    "A5.4 backoff, ZK-15: a server that %s the connection at once (maxClientCnxns) is reported, and not dialled again by itself",
    async (how) => {
      driverPausesNot();
      const closing = await closingServer(how);
      const link = makeLink(`zookeeper://127.0.0.1:${closing.port}`);
      onTestFinished(() => link.abandon());
      await expect(link.during(call(), (wire) => wire.read("/a"))).rejects.toThrow(/too many connections/);
      await driverDialsAgain();
      expect(closing.accepted).toBe(1);
    },
  );

  test("A5.4 close, ZK-12: letting go while connecting leaves no timer and no connection behind", async () => {
    driverPausesNot();
    const fake = await fakeServer();
    fake.greet = () => {};
    const link = guarded(fake);
    const ask = link.during(call(), (wire) => wire.read("/a"));
    await expect.poll(() => fake.connections).toHaveLength(1);
    const closed = new Promise((close) => fake.connections[0]!.socket.once("close", close));
    link.abandon();
    await expect(ask).rejects.toThrow(/let go/);
    await closed;
    await driverDialsAgain();
    expect(fake.connections).toHaveLength(1);
  });

  test("A5.4 close, ZK-12: a question that is under way when its backend is closed is over, and the next one opens no connection", async () => {
    driverPausesNot();
    const fake = await fakeServer();
    fake.greet = () => {};
    const adapter = new ZooKeeperAdapter(resolveOptions(`zookeeper://127.0.0.1:${fake.port}`));
    const question = adapter.read("a", call());
    await expect.poll(() => fake.connections).toHaveLength(1);
    const closed = new Promise((close) => fake.connections[0]!.socket.once("close", close));
    await adapter.close(call());
    await expect(question).rejects.toThrow(/let go/);
    await closed;
    await expect(adapter.candidates("a", call())).rejects.toThrow(/closed/);
    await driverDialsAgain();
    expect(fake.connections).toHaveLength(1);
  });

  test("A5.4 close, ZK-12: a session ends in bounded time while its server is silent or gone", async () => {
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

  test("A5.4 watches: what is told behind an answer, in the same packet, comes after all that the answer sets off", async () => {
    const fake = await fakeServer(({ connection, xid, type }) => {
      if (type !== op.getData) return undefined;
      connection.socket.cork();
      connection.reply(xid, 0, Buffer.concat([int(0), stat()]));
      connection.notify(2, "/a");
      connection.socket.uncork();
      return "handled";
    });
    const order: string[] = [];
    const link = guarded(fake);
    await link.during(call(), async (wire) => {
      await wire.read("/a", () => void order.push("told"));
      // As many turns of the microtask queue as there may be awaits between an answer and core.
      for (let turn = 0; turn < 100; turn += 1) await Promise.resolve();
      order.push("answered");
    });
    await expect.poll(() => order).toEqual(["answered", "told"]);
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

  test("ZK-6: a reading session that has expired is replaced without anybody noticing", async () => {
    const fake = await fakeServer(({ connection, xid, type }) => {
      if (type !== op.getData) return undefined;
      connection.reply(xid, -101);
      return "handled";
    });
    const adapter = new ZooKeeperAdapter(resolveOptions(fake.url));
    onTestFinished(async () => adapter.close(call()));
    let changes = 0;
    await adapter.watch("a", () => (changes += 1), call());
    fake.greet = (connection) => {
      const known = connection.handshake!.readBigInt64BE(16) !== 0n;
      connection.accept(known ? 0 : 4_000);
    };
    fake.connections[0]!.socket.destroy();
    await expect.poll(() => changes).toBe(1);
    await expect(adapter.read("a", call())).resolves.toBeNull();
    expect(fake.connections).toHaveLength(3);
    // Observers are told of the gap, and watch on the new session.
    await expect.poll(() => fake.connections[2]!.seen).toContain(op.exists);
    expect(changes).toBeGreaterThan(1);
  });

  test("a signal that has aborted costs nobody the connection", async () => {
    const fake = await fakeServer();
    const heard: string[] = [];
    const link = guarded(fake, heard);
    await link.during(call(), (wire) => wire.read("/a"));
    const aborted = { signal: AbortSignal.abort(), timeoutMs: 1 };
    await expect(link.during(aborted, (wire) => wire.read("/a"))).rejects.toThrow(/given up/);
    await link.during(call(), (wire) => wire.read("/a"));
    expect(fake.connections).toHaveLength(1);
  });

  test("a question that is given up spares a connection that answers others", async () => {
    const fake = await fakeServer();
    const link = guarded(fake);
    await link.during(call(), (wire) => wire.read("/a"));
    fake.script = ({ type }) => (type === op.exists ? "handled" : undefined);
    const gaveUp = new AbortController();
    const bounds = { signal: gaveUp.signal, timeoutMs: 1_000 };
    const unanswered = link.during(
      bounds,
      (wire) => Promise.all([wire.read("/a"), wire.watch("/b", () => {})]),
      {
        sparing: true,
      },
    );
    await expect.poll(() => fake.connections[0]!.seen).toContain(op.exists);
    await nextTurn();
    await expect.poll(() => fake.connections[0]!.seen.length).toBe(3);
    gaveUp.abort();
    await expect(unanswered).rejects.toThrow(/given up/);
    expect(link.connected).toBe(true);
  });
});

interface ClosingServer {
  readonly port: number;
  readonly accepted: number;
}

async function closingServer(how: "ends" | "resets"): Promise<ClosingServer> {
  let accepted = 0;
  const server = createServer((socket) => {
    accepted += 1;
    socket.on("error", () => {});
    if (how === "ends") socket.destroy();
    else socket.resetAndDestroy();
  });
  onTestFinished(() => void server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return {
    port,
    get accepted() {
      return accepted;
    },
  };
}

/** Left alone, it dials again after a random part of a second. */
function driverPausesNot(): void {
  const random = vi.spyOn(Math, "random").mockReturnValue(0);
  onTestFinished(() => random.mockRestore());
}

/** The control: by now the driver, left alone, has dialled a closing server again and again. */
async function driverDialsAgain(): Promise<void> {
  const closing = await closingServer("ends");
  const client = zookeeper.createClient(`127.0.0.1:${closing.port}`);
  client.connect();
  await expect.poll(() => closing.accepted).toBeGreaterThan(5);
  const { connectionManager } = client as unknown as { connectionManager: { connect(): void } };
  connectionManager.connect = () => {};
}
