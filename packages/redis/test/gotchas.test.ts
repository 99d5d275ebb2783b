/**
 * One test for each trap of the driver. Where its default would do harm, the harm is shown first.
 * “A5.1 late writes” is in port.test.ts, “A5.1 fencing” in calls.test.ts, “A5.1 failover” in hazards.test.ts.
 */

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { Redis } from "ioredis";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { RedisAdapter } from "../src/adapter.ts";
import {
  call,
  candidate,
  eventually,
  maxTtl,
  pass,
  plain,
  proxyTo,
  sharedStore,
  tokenOf,
} from "./support.ts";

const at = await sharedStore();

describe("ioredis", () => {
  test("A5.1 unhandled errors: a client without a listener prints; ours are silent, and say why in the rejection", async () => {
    const printed = vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => printed.mockRestore());
    const proxy = await proxyTo(at.server.port);
    proxy.refuse();
    const bare = new Redis(proxy.port, { retryStrategy: null });
    await eventually("the driver prints", () => printed.mock.calls.length > 0);
    bare.disconnect();
    printed.mockClear();
    await expect(candidate(at.through(proxy.port))).rejects.toThrow(/ECONNRESET|closed/);
    proxy.heal();
    const a = await candidate(at.through(proxy.port));
    proxy.refuse();
    await a.heard.next("doubt");
    await expect(a.prove()).rejects.toThrow(/ECONNRESET|closed/);
    a.session.abandon();
    await pass(20);
    expect(printed.mock.calls).toEqual([]);
  });

  test("A5.1 silent link, RD-4: the driver stays ready and waits; our call ends with its signal", async () => {
    const proxy = await proxyTo(at.server.port);
    const bare = plain(proxy.port);
    await bare.ping();
    const a = await candidate(at.through(proxy.port));
    proxy.silence();
    let answered = false;
    bare.ping().then(
      () => (answered = true),
      () => {},
    );
    await expect(a.session.prove(new Map(), call(150))).rejects.toThrow(/timeout/i);
    expect([bare.status, answered]).toEqual(["ready", false]);
  });

  test("A5.1 commandTimeout: the driver gives up on a command that is executed later", async () => {
    const proxy = await proxyTo(at.server.port);
    const bare = plain(proxy.port, { commandTimeout: 50 });
    await bare.ping();
    proxy.silence("up");
    await expect(bare.set(`${at.records}:late`, "ghost", "NX")).rejects.toThrow("Command timed out");
    proxy.heal();
    const store = plain(at.server.port);
    await eventually("the ghost appears", async () => (await store.get(`${at.records}:late`)) === "ghost");
    await store.del(`${at.records}:late`);
    // Ours: port.test.ts, “A5.1 late writes”.
  });

  test("A5.1 socketTimeout: running commands are not rejected by it", async () => {
    const proxy = await proxyTo(at.server.port);
    const bare = plain(proxy.port, { socketTimeout: 50 });
    await bare.ping();
    proxy.silence();
    let settled = false;
    bare.ping().then(
      () => (settled = true),
      () => (settled = true),
    );
    await pass(200);
    expect(settled).toBe(false);
  });

  test("A5.1 autoResendUnfulfilledCommands, RD-2: it turns our own success into somebody else's; our claim knows itself", async () => {
    const proxy = await proxyTo(at.server.port);
    const bare = plain(proxy.port, { retryStrategy: () => 10 });
    await bare.ping();
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("mine"), "cut-after");
    expect(await bare.set(`${at.records}:nx`, "mine", "NX")).toBeNull();
    expect(await bare.get(`${at.records}:nx`)).toBe("mine");
    await bare.del(`${at.records}:nx`);

    const a = await candidate(at.through(proxy.port));
    tokenOf(await a.claim(a.bid("so that the server knows the script")));
    const bid = a.bid("x", "me");
    let requests = 0;
    proxy.observe(
      ({ direction, bytes }) => void (direction === "up" && bytes.includes(bid.nonce) && (requests += 1)),
    );
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes(bid.nonce), "cut-after");
    await expect(a.claim(bid)).rejects.toThrow(/closed|reset/i);
    await a.prove();
    expect(requests).toBe(1);
    expect(await a.adapter.read("x", call())).toMatchObject({ id: "me", token: tokenOf(await a.claim(bid)) });
  });

  test("A5.1 autoResendUnfulfilledCommands, off: a reconnecting driver forgets what was in flight (#2193); ours rejects", async () => {
    const proxy = await proxyTo(at.server.port);
    const bare = plain(proxy.port, { autoResendUnfulfilledCommands: false, retryStrategy: () => 10 });
    await bare.ping();
    const forget = proxy.once(
      ({ direction, bytes }) => direction === "up" && bytes.includes("forgotten"),
      "cut-after",
    );
    let settled = false;
    bare.echo("forgotten").then(
      () => (settled = true),
      () => (settled = true),
    );
    await forget.seen;
    await eventually("it is connected again", async () => proxy.opened >= 2 && bare.status === "ready");
    await bare.ping();
    await pass(100);
    expect(settled).toBe(false);

    const a = await candidate(at.through(proxy.port));
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes(":s:"), "cut-after");
    await expect(a.prove()).rejects.toThrow(/closed|reset/i);
  });

  test("A5.1 offline queue: a proof is never kept for later", async () => {
    const proxy = await proxyTo(at.server.port);
    const bare = plain(proxy.port, { retryStrategy: () => 200 });
    const a = await candidate(at.through(proxy.port));
    await bare.ping();
    proxy.refuse();
    await a.heard.next("doubt");
    await eventually("the driver is off-line", () => bare.status === "reconnecting");
    const queued = bare.set(`${at.records}:queued`, "1");
    await expect(a.prove()).rejects.toThrow(/ECONNRESET|closed/);
    let seen = false;
    proxy.observe(
      ({ direction, bytes }) => void (direction === "up" && bytes.includes(a.session.id) && (seen = true)),
    );
    proxy.heal();
    expect(await queued).toBe("OK");
    await plain(at.server.port).del(`${at.records}:queued`);
    expect(seen).toBe(false);
  });

  test.each([{ protocol: 2 }, { protocol: 3 }, { protocol: 3, replyMapping: "resp3" }])(
    "A5.1 RESP3: works with either protocol, whatever your client does: %o",
    async (configured) => {
      const client = plain(at.server.port, configured);
      const options = { client, namespace: at.name, maxTtl, durability: "assumed" } as const;
      const [a, b] = [await candidate(options), await candidate(options)];
      // The server's settings come as a map.
      const observer = await candidate({ ...options, durability: "observed" });
      expect(observer.session.warnings.join()).not.toMatch(/may not read appendfsync/);
      const bid = a.bid("x");
      tokenOf(await a.claim(bid));
      await b.claim(b.bid("x"));
      expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
      await a.session.release([bid], call());
      await b.heard.next("hint x");
    },
  );

  test("A5.1 waking waiters, RD-10: pub/sub is lost with its connection: a proof mends it, and all who wait are told to look", async () => {
    const proxy = await proxyTo(at.server.port);
    let listens = 0;
    proxy.observe(({ direction, bytes, connection }) => {
      if (direction === "up" && /subscribe/i.test(bytes.toString())) listens = connection.number;
      return undefined;
    });
    const [a, b] = [await candidate(at.url), await candidate(at.through(proxy.port))];
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    await b.claim(b.bid("x"));
    proxy.connections.find(({ number }) => number === listens)!.reset();
    await a.session.release([bid], call());
    await pass(20);
    expect(b.heard.all).toEqual([]);
    await b.prove();
    await b.heard.next("hint *");
  });

  test("RD-10 a subscription that has gone silent is noticed by the echo of the proofs, and replaced", async () => {
    const proxy = await proxyTo(at.server.port);
    let [listens, echoes] = [0, 0];
    proxy.observe(({ direction, bytes, connection }) => {
      if (direction === "up" && /subscribe/i.test(bytes.toString())) listens = connection.number;
      if (direction === "down" && bytes.includes("message")) echoes += 1;
      return undefined;
    });
    const b = await candidate(at.through(proxy.port));
    const proveAndHear = async (): Promise<void> => {
      const before = echoes;
      await b.prove();
      await eventually("its echo", () => echoes > before);
    };
    await proveAndHear();
    const first = listens;
    proxy.connections.find(({ number }) => number === listens)!.hold();
    for (let proofs = 0; proofs < 4; proofs++) {
      await b.prove();
      await pass(20);
    }
    await b.heard.next("hint *");
    expect(listens).toBeGreaterThan(first);
    // Heard again, it stays.
    const opened = proxy.opened;
    for (let proofs = 0; proofs < 5; proofs++) await proveAndHear();
    expect(proxy.opened).toBe(opened);
  });

  test("RD-10 a connection that has gone silent while the subscription lives: woken, and it claims over the next one", async () => {
    const proxy = await proxyTo(at.server.port);
    let commands = 0;
    proxy.observe(({ direction, bytes, connection }) => {
      if (direction === "up" && /evalsha/i.test(bytes.toString())) commands = connection.number;
      return undefined;
    });
    const [a, b] = [await candidate(at.url), await candidate(at.through(proxy.port))];
    const [bid, waiting] = [a.bid("x"), b.bid("x")];
    tokenOf(await a.claim(bid));
    await b.claim(waiting);
    proxy.connections.find(({ number }) => number === commands)!.hold();
    await a.session.release([bid], call());
    await b.heard.next("hint x");
    await expect(b.session.claim([waiting], call(100))).rejects.toThrow(/timeout/i);
    tokenOf(await b.claim(waiting));
  });

  test("A5.1 connecting: a second connect() is refused; our calls share the one that is under way", async () => {
    const bare = new Redis({ port: at.server.port, lazyConnect: true });
    onTestFinished(() => bare.disconnect());
    const [, second] = await Promise.allSettled([bare.connect(), bare.connect()]);
    expect(second).toMatchObject({
      reason: { message: expect.stringMatching(/already connecting/) as string },
    });

    const proxy = await proxyTo(at.server.port);
    const atOnce = async (): Promise<PromiseSettledResult<unknown>[]> => {
      const adapter = new RedisAdapter(at.through(proxy.port));
      onTestFinished(() => adapter.close());
      return Promise.allSettled([adapter.read("x", call()), adapter.candidates("x", call())]);
    };
    expect(await atOnce()).toMatchObject([{ value: null }, { value: [] }]);
    expect(proxy.opened).toBe(1);
    proxy.refuse();
    expect(await atOnce()).toMatchObject([{ status: "rejected" }, { status: "rejected" }]);
    expect(proxy.opened).toBe(2);
  });

  test("A5.1 cancelling a wait: the driver takes no signal; ours ends the call, and what it claimed is let go", async () => {
    const proxy = await proxyTo(at.server.port);
    const [a, b] = [await candidate(at.through(proxy.port)), await candidate(at.url)];
    tokenOf(await a.claim(a.bid("so that the server knows the script")));
    const bid = a.bid("x");
    const abort = new AbortController();
    proxy.silence("down");
    const claim = a.session.claim([bid], { signal: abort.signal, timeoutMs: 5000 });
    await eventually("the server has done it", async () => (await b.adapter.read("x", call())) !== null);
    abort.abort(new Error("no more"));
    await expect(claim).rejects.toThrow("no more");
    proxy.heal();
    await a.session.dispose([bid], call());
    tokenOf(await b.claim(b.bid("x")));
  });

  test("A5.1 closing: quit() hangs on a silent link; abandon and close do not wait", async () => {
    const proxy = await proxyTo(at.server.port);
    const bare = plain(proxy.port);
    await bare.ping();
    const a = await candidate(at.through(proxy.port));
    await a.adapter.read("x", call());
    proxy.silence();
    let quit = false;
    bare.quit().then(
      () => (quit = true),
      () => (quit = true),
    );
    a.session.abandon();
    await a.adapter.close();
    await pass(100);
    expect(quit).toBe(false);
  });

  test("A5.1 closing: no socket is left to a server that says nothing", async () => {
    const [asked, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const silent = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => asked.resolve());
      socket.on("close", () => closed.resolve());
    });
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void silent.close());
    const address = silent.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const adapter = new RedisAdapter(`redis://127.0.0.1:${port}`);
    const question = adapter.read("x", call());
    question.catch(() => {});
    await asked.promise;
    await adapter.close();
    await closed.promise;
    await expect(question).rejects.toThrow(/closed/);
  });

  test("P12 sockets keep no process alive: one that forgot to resign exits after close()", async () => {
    const program = `
      const { createElection } = await import("@elect/core");
      const { redis } = await import(${JSON.stringify(import.meta.resolve("../src/index.ts"))});
      const backend = redis(process.argv[1]);
      const election = createElection({ backend, name: "x", ttl: ${maxTtl}, drainTimeout: 50 });
      await election.campaign();
      await backend.close();
    `;
    const args = ["--conditions=@elect/source", "--input-type=module", "-e", program, at.url];
    const child = spawn(process.execPath, args, {
      cwd: import.meta.dirname,
      stdio: ["ignore", "ignore", "pipe"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let errors = "";
    child.stderr.on("data", (text) => (errors += String(text)));
    const code = await new Promise((resolve) => child.once("exit", resolve));
    expect([code, errors]).toEqual([0, ""]);
  });

  test("A5.1 bring your own: the user's client is copied, prefix and all, and otherwise left alone", async () => {
    const client = plain(at.server.port, {
      keyPrefix: "app:",
      retryStrategy: () => 50,
      connectionName: "theirs",
    });
    await client.set(`${at.records}:theirs`, "theirs");
    const listeners = client.eventNames().map((event) => [event, client.listenerCount(event)]);
    const a = await candidate({ client, namespace: at.name, maxTtl, durability: "assumed" });
    tokenOf(await a.claim(a.bid("x")));
    expect(
      await plain(at.server.port).exists(`app:${at.records}`, `app:${at.records}:s:${a.session.id}`),
    ).toBe(2);
    await a.session.end(call());
    await a.adapter.close();
    expect([client.status, client.eventNames().map((event) => [event, client.listenerCount(event)])]).toEqual(
      ["ready", listeners],
    );
    expect(await client.get(`${at.records}:theirs`)).toBe("theirs");
    await client.del(`${at.records}:theirs`);
  });
});
