/**
 * One test for each trap of the driver and of the server that concerns us. Where the driver's default would do harm,
 * the harm is shown first.
 */

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { InvalidOptionError, RefusedError } from "@elect/core/adapter";
import { Redis } from "ioredis";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { RedisAdapter } from "../src/adapter.ts";
import { explain } from "../src/errors.ts";
import {
  call,
  candidate,
  eventually,
  Heard,
  maxTtl,
  namespace,
  nonce,
  ownServer,
  pass,
  plain,
  privileges,
  proxyTo,
  sharedServer,
  tokenOf,
} from "./support.ts";

const server = await sharedServer();
let name: string;
let records: string;
let url: string;
const through = (port: number): string => url.replace(`:${server.port}`, `:${port}`);
const on = ({ url: own }: { url: string }, more = ""): string =>
  `${own}?namespace=${name}&maxTtl=${maxTtl}${more}`;

beforeEach(() => {
  name = namespace();
  records = `elect:{${name}}`;
  url = `${server.url}?namespace=${name}&maxTtl=${maxTtl}`;
});

describe("ioredis", () => {
  test("A5.1 unhandled errors: a client without a listener prints; ours are silent, and say why in the rejection", async () => {
    const printed = vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => printed.mockRestore());
    const proxy = await proxyTo(server.port);
    proxy.refuse();
    const bare = new Redis(proxy.port, { retryStrategy: null });
    await eventually("the driver prints", () => printed.mock.calls.length > 0);
    bare.disconnect();
    printed.mockClear();
    await expect(candidate(through(proxy.port))).rejects.toThrow(/ECONNRESET|closed/);
    proxy.heal();
    const a = await candidate(through(proxy.port));
    proxy.refuse();
    await a.heard.next("doubt");
    await expect(a.prove()).rejects.toThrow(/ECONNRESET|closed/);
    a.session.abandon();
    await pass(20);
    expect(printed.mock.calls).toEqual([]);
  });

  test("A5.1 RD-4 silent link: the driver stays ready and waits; our call ends with its signal", async () => {
    const proxy = await proxyTo(server.port);
    const bare = plain(proxy.port);
    await bare.ping();
    const a = await candidate(through(proxy.port));
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
    const proxy = await proxyTo(server.port);
    const bare = plain(proxy.port, { commandTimeout: 50 });
    await bare.ping();
    proxy.silence("up");
    await expect(bare.set(`${records}:late`, "ghost", "NX")).rejects.toThrow("Command timed out");
    proxy.heal();
    const store = plain(server.port);
    await eventually("the ghost appears", async () => (await store.get(`${records}:late`)) === "ghost");
    await store.del(`${records}:late`);
    // Ours: port.test.ts, “RD-3 a claim that arrives after it was disposed of is refused”.
  });

  test("A5.1 socketTimeout: running commands are not rejected by it", async () => {
    const proxy = await proxyTo(server.port);
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

  test("A5.1 RD-2 re-sending turns our own success into somebody else's; our claim knows itself", async () => {
    const proxy = await proxyTo(server.port);
    const bare = plain(proxy.port, { retryStrategy: () => 10 });
    await bare.ping();
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("mine"), "cut-after");
    expect(await bare.set(`${records}:nx`, "mine", "NX")).toBeNull();
    expect(await bare.get(`${records}:nx`)).toBe("mine");
    await bare.del(`${records}:nx`);

    const a = await candidate(through(proxy.port));
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

  test("A5.1 without re-sending, a reconnecting driver forgets what was in flight (#2193); ours rejects", async () => {
    const proxy = await proxyTo(server.port);
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

    const a = await candidate(through(proxy.port));
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes(":s:"), "cut-after");
    await expect(a.prove()).rejects.toThrow(/closed|reset/i);
  });

  test("A5.1 offline queue: a proof is never kept for later", async () => {
    const proxy = await proxyTo(server.port);
    const bare = plain(proxy.port, { retryStrategy: () => 200 });
    const a = await candidate(through(proxy.port));
    await bare.ping();
    proxy.refuse();
    await a.heard.next("doubt");
    await eventually("the driver is off-line", () => bare.status === "reconnecting");
    const queued = bare.set(`${records}:queued`, "1");
    await expect(a.prove()).rejects.toThrow(/ECONNRESET|closed/);
    let seen = false;
    proxy.observe(
      ({ direction, bytes }) => void (direction === "up" && bytes.includes(a.session.id) && (seen = true)),
    );
    proxy.heal();
    expect(await queued).toBe("OK");
    await plain(server.port).del(`${records}:queued`);
    expect(seen).toBe(false);
  });

  test.each([2, 3])("A5.1 RESP%i: works with either protocol", async (protocol) => {
    const client = plain(server.port, { protocol });
    const options = { client, namespace: name, maxTtl };
    const [a, b] = [await candidate(options), await candidate(options)];
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    await b.claim(b.bid("x"));
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    await a.session.release([bid], call());
    await b.heard.next("hint x");
  });

  test("A5.1 RD-10 pub/sub is lost with its connection: a proof mends it, and all who wait are told to look", async () => {
    const proxy = await proxyTo(server.port);
    let listens = 0;
    proxy.observe(({ direction, bytes, connection }) => {
      if (direction === "up" && /subscribe/i.test(bytes.toString())) listens = connection.number;
      return undefined;
    });
    const [a, b] = [await candidate(url), await candidate(through(proxy.port))];
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
    const proxy = await proxyTo(server.port);
    let listens = 0;
    proxy.observe(({ direction, bytes, connection }) => {
      if (direction === "up" && /subscribe/i.test(bytes.toString())) listens = connection.number;
      return undefined;
    });
    const b = await candidate(through(proxy.port));
    await b.prove();
    const first = listens;
    proxy.connections.find(({ number }) => number === listens)!.hold();
    for (let proofs = 0; proofs < 4; proofs++) {
      await b.prove();
      await pass(20);
    }
    await b.heard.next("hint *");
    expect(listens).toBeGreaterThan(first);
    await pass(20);
    const opened = proxy.opened;
    for (let proofs = 0; proofs < 5; proofs++) {
      await b.prove();
      await pass(10);
    }
    expect(proxy.opened).toBe(opened);
  });

  test("A5.1 closing: quit() hangs on a silent link; abandon and close do not wait", async () => {
    const proxy = await proxyTo(server.port);
    const bare = plain(proxy.port);
    await bare.ping();
    const a = await candidate(through(proxy.port));
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

  test("P12 sockets keep no process alive: one that forgot to resign exits after close()", async () => {
    const program = `
      const { createElection } = await import("@elect/core");
      const { redis } = await import(${JSON.stringify(import.meta.resolve("../src/index.ts"))});
      const backend = redis(process.argv[1]);
      const election = createElection({ backend, name: "x", ttl: ${maxTtl}, drainTimeout: 50 });
      await election.campaign();
      await backend.close();
    `;
    const args = ["--conditions=@elect/source", "--input-type=module", "-e", program, url];
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
    const client = plain(server.port, {
      keyPrefix: "app:",
      retryStrategy: () => 50,
      connectionName: "theirs",
    });
    await client.set(`${records}:theirs`, "theirs");
    const listeners = client.eventNames().map((event) => [event, client.listenerCount(event)]);
    const a = await candidate({ client, namespace: name, maxTtl });
    tokenOf(await a.claim(a.bid("x")));
    expect(await plain(server.port).exists(`app:${records}`, `app:${records}:s:${a.session.id}`)).toBe(2);
    await a.session.end(call());
    await a.adapter.close();
    expect([client.status, client.eventNames().map((event) => [event, client.listenerCount(event)])]).toEqual(
      ["ready", listeners],
    );
    expect(await client.get(`${records}:theirs`)).toBe("theirs");
    await client.del(`${records}:theirs`);
  });
});

describe("the server", () => {
  test("RD-1 its clock was set back: a dead leader is taken over after its TTL all the same", async () => {
    // What a step back leaves behind: more time to live than was ever granted.
    const [a, b] = [await candidate(url, { ttl: 500 }), await candidate(url)];
    tokenOf(await a.claim(a.bid("x")));
    await plain(server.port).pexpire(`${records}:s:${a.session.id}`, 3_600_000);
    const answer = await b.claim(b.bid("x"));
    if (answer.kind !== "held") throw new Error("not held");
    expect(answer.retryInMs).toBeLessThanOrEqual(501);
    await pass(510);
    tokenOf(await b.claim(b.bid("x")));
  });

  test("RD-1 its clock was set forward: the leader hears of it with its next proof", async () => {
    const a = await candidate(url);
    tokenOf(await a.claim(a.bid("x")));
    await plain(server.port).pexpireat(`${records}:s:${a.session.id}`, 1);
    expect(await a.prove()).toMatchObject({ kind: "dead" });
  });

  test("RD-5 eviction: warned of, refused on request, and noticed by the proof", async () => {
    const own = await ownServer({
      args: ["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"],
      appendonly: "always",
    });
    const a = await candidate(on(own));
    expect(a.session.warnings.join("\n")).toMatch(/allkeys-lru/);
    await expect(candidate(on(own, "&durability=required"))).rejects.toMatchObject({ refusal: "durability" });
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    const store = plain(own.port);
    await eventually("something of ours is evicted", async () => {
      await store.eval(
        "for i = 1, 500 do redis.call('SET', KEYS[1] .. ARGV[1] .. i, string.rep('x', 1000)) end",
        1,
        "fill",
        nonce(),
      );
      return (await store.exists(records, `${records}:s:${a.session.id}`)) < 2;
    });
    const proof = await a.prove(bid);
    expect(proof.kind === "dead" || proof.lost.length === 1).toBe(true);
  });

  test("RD-5 FLUSHALL: the leader is told by its next proof, and the next token is greater", async () => {
    const own = await ownServer({ appendonly: "always" });
    const [a, b] = [await candidate(on(own)), await candidate(on(own))];
    const token = tokenOf(await a.claim(a.bid("x")));
    await plain(own.port).flushall();
    expect(await a.prove()).toMatchObject({ kind: "dead" });
    expect(await b.prove()).toMatchObject({ kind: "dead" });
    const c = await candidate(on(own));
    expect(tokenOf(await c.claim(c.bid("x")))).toBeGreaterThan(token);
  });

  test("RD-6 restarted without its memory: nobody is elected before every forgotten lease is over", async () => {
    const own = await ownServer();
    const a = await candidate(on(own));
    const fresh = await a.claim(a.bid("x"));
    expect(fresh).toMatchObject({ kind: "held", by: null });
    expect(a.session.warnings.join("\n")).toMatch(/may have forgotten who leads/);
    await own.restart();
    const restarted = performance.now();
    expect(await a.prove()).toMatchObject({ kind: "dead" });
    const b = await candidate(on(own));
    const bid = b.bid("x");
    for (;;) {
      const answer = await b.claim(bid);
      if (answer.kind === "granted") break;
      if (answer.kind !== "held") throw new Error(answer.kind);
      await pass(Math.min(answer.retryInMs ?? 50, 300));
      await b.prove();
    }
    const waited = performance.now() - restarted;
    expect(waited).toBeGreaterThan(maxTtl - 300);
    expect(waited).toBeLessThan(maxTtl + 2500);
    expect((await candidate(on(own))).session.warnings.join("\n")).not.toMatch(/may have forgotten/);
  }, 20_000);

  test("RD-6 restarted with appendfsync always: the leader goes on, and others are elected at once", async () => {
    const own = await ownServer({ appendonly: "always" });
    const a = await candidate(on(own), { ttl: maxTtl });
    const bid = a.bid("x");
    const token = tokenOf(await a.claim(bid));
    await a.prove();
    await own.restart();
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    expect(tokenOf(await a.claim(bid))).toBe(token);
    expect(tokenOf(await a.claim(a.bid("y")))).toBeGreaterThan(token);
  });

  test("RD-6 restarted with older memory: leaders ride on, what is gone is reported, what is back is let go, nobody new leads", async () => {
    const own = await ownServer();
    const long = { client: plain(own.port), namespace: name, maxTtl: 20_000, durability: "assumed" } as const;
    const [a, b] = [await candidate(long, { ttl: 20_000 }), await candidate(long, { ttl: 20_000 })];
    const [kept, old] = [a.bid("kept"), a.bid("moved")];
    await a.session.claim([kept, old], call());
    const store = plain(own.port);
    await store.save();
    await a.session.release([old], call());
    const moved = b.bid("moved");
    tokenOf(await b.claim(moved));
    await own.restart();
    expect(await b.prove(moved)).toMatchObject({ kind: "alive", lost: [{ election: "moved" }] });
    expect(await store.hget(records, "r:moved")).toMatch(new RegExp(`^${a.session.id}`));
    expect(await a.prove(kept)).toMatchObject({ kind: "alive", lost: [] });
    expect(await store.hget(records, "r:moved")).toBeNull();
    const c = await candidate({ ...long, durability: "observed" });
    await store.hdel(records, "server");
    expect(await c.claim(c.bid("moved"))).toMatchObject({ kind: "held", by: null });
  }, 20_000);

  test("a fresh server that the operator vouches for elects at once", async () => {
    const own = await ownServer();
    const a = await candidate(on(own, "&durability=assumed"));
    tokenOf(await a.claim(a.bid("x")));
    expect(a.session.warnings).toEqual([]);
    await expect(candidate(on(own, "&durability=required"))).rejects.toMatchObject({ refusal: "durability" });
    const strict = await candidate(on(await ownServer({ appendonly: "always" }), "&durability=required"));
    tokenOf(await strict.claim(strict.bid("x")));
    const everysec = await candidate(on(await ownServer({ appendonly: "everysec" })));
    expect(everysec.session.warnings.join("\n")).toMatch(/appendfsync is everysec/);
    expect(await everysec.claim(everysec.bid("x"))).toMatchObject({ kind: "held", by: null });
  });

  test("RD-11 two hundred thousand other keys that expire do not delay the take-over", async () => {
    const own = await ownServer({ appendonly: "no" });
    const store = plain(own.port);
    for (let part = 0; part < 20; part++) {
      await store.eval(
        "for i = 1, 10000 do redis.call('SET', KEYS[1] .. i, '', 'PX', 100000 + i) end",
        1,
        `other:${part}:`,
      );
    }
    const [a, b] = [
      await candidate(on(own, "&durability=assumed"), { ttl: 600 }),
      await candidate(on(own, "&durability=assumed")),
    ];
    await a.prove();
    tokenOf(await a.claim(a.bid("x")));
    const bid = b.bid("x");
    const proven = performance.now();
    await a.prove();
    a.session.abandon();
    const answer = await b.claim(bid);
    await pass(answer.kind === "held" ? (answer.retryInMs ?? 0) : 0);
    await eventually("it is taken over", async () => (await b.claim(bid)).kind === "granted");
    expect(performance.now() - proven).toBeLessThan(600 + 300);
  });

  test("RD-12 SCRIPT FLUSH: the scripts are sent again", async () => {
    const own = await ownServer({ appendonly: "always" });
    const a = await candidate(on(own));
    await plain(own.port).script("FLUSH");
    tokenOf(await a.claim(a.bid("x")));
    await plain(own.port).script("FLUSH");
    expect(await a.prove()).toMatchObject({ kind: "alive" });
  });

  test("RD-8 RD-12 BUSY, OOM, NOREPLICAS and READONLY are unknown: the session rides them out", async () => {
    const own = await ownServer({ appendonly: "always", args: ["--busy-reply-threshold", "50"] });
    const a = await candidate(on(own), { ttl: maxTtl });
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    const store = plain(own.port);
    const problem = async (): Promise<unknown> => a.prove(bid).catch((error: unknown) => error);

    const endless = plain(own.port)
      .eval("while true do end", 0)
      .catch(() => {});
    await pass(150);
    const busy = await problem();
    await store.script("KILL");
    await endless;
    expect(String(busy)).toMatch(/BUSY/);

    // Without memory left nobody new is elected, but a proof needs none: leaders stay, and can leave.
    const [b, given] = [await candidate(on(own)), a.bid("given")];
    tokenOf(await a.claim(given));
    await b.claim(b.bid("given"));
    await store.config("SET", "maxmemory", "1");
    const full: unknown = await a.claim(a.bid("more")).catch((error: unknown) => error);
    expect(String(full)).toMatch(/OOM/);
    await a.session.release([given], call());
    await b.heard.next("hint given");
    for (let proofs = 0; proofs < 3; proofs++)
      expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    await store.config("SET", "maxmemory", "0");

    await store.config("SET", "min-replicas-to-write", "1");
    const alone = await problem();
    await store.config("SET", "min-replicas-to-write", "0");
    expect(String(alone)).toMatch(/NOREPLICAS/);

    await store.replicaof("127.0.0.1", "1");
    const standby = await problem();
    await store.replicaof("NO", "ONE");
    expect(String(standby)).toMatch(/READONLY/);

    for (const error of [busy, full, alone, standby]) expect(error).not.toBeInstanceOf(RefusedError);
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
  });

  test("RD-8 a promoted server elects nobody new for maxTtl: it may lack what its master acknowledged", async () => {
    const own = await ownServer({ appendonly: "always" });
    const a = await candidate(on(own), { ttl: maxTtl });
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    const store = plain(own.port);
    await store.replicaof("127.0.0.1", "1");
    await store.replicaof("NO", "ONE");
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    const answer = await a.claim(a.bid("y"));
    expect(answer).toMatchObject({ kind: "held", by: null });
    expect(answer.kind === "held" && answer.retryInMs! > maxTtl - 500).toBe(true);
  });

  test("a replica is refused at once", async () => {
    const own = await ownServer();
    await plain(own.port).replicaof("127.0.0.1", "1");
    await expect(candidate(on(own))).rejects.toMatchObject({ refusal: "standby" });
  });

  test("RD-12 replies that need a person are refused, with what to do; the rest is unknown", () => {
    const kinds = (text: string): string => {
      const error = explain(new Error(text), "redis://h:1/0");
      return error instanceof RefusedError ? error.refusal : "unknown";
    };
    expect(kinds("NOPERM User x has no permissions to run the 'eval' command")).toBe("permission");
    expect(kinds("NOAUTH Authentication required.")).toBe("authentication");
    expect(kinds("WRONGPASS invalid username-password pair or user is disabled.")).toBe("authentication");
    expect(kinds("ERR unknown command 'EVALSHA', with args beginning with: ")).toBe("unsupported");
    for (const passing of [
      "LOADING Redis is loading",
      "MASTERDOWN Link with MASTER is down",
      "CLUSTERDOWN The cluster is down",
      "TRYAGAIN Multiple keys",
      "NOREPLICAS Not enough good replicas",
      "MISCONF Redis is configured to save",
      "UNKILLABLE x",
      "connect ECONNREFUSED 127.0.0.1:1",
    ]) {
      expect([passing, kinds(passing)]).toEqual([passing, "unknown"]);
    }
  });

  test("RD-12 a server that is still loading is waited for", async () => {
    const fake = createServer((socket) => {
      socket.on("data", (bytes) => {
        const commands = bytes.toString().match(/\*\d+\r\n\$\d+\r\n[A-Za-z]+/g) ?? [];
        socket.write(
          commands
            .map((text) =>
              /HELLO$/i.test(text)
                ? "%1\r\n+proto\r\n:3\r\n"
                : "-LOADING Redis is loading the dataset in memory\r\n",
            )
            .join(""),
        );
      });
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => fake.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void fake.close());
    const address = fake.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const adapter = new RedisAdapter(`redis://127.0.0.1:${port}`);
    const error: unknown = await adapter
      .open({ ttlMs: 1000, nonce: nonce(), events: new Heard() }, call(1000))
      .catch((reason: unknown) => reason);
    await adapter.close();
    expect(String(error)).toMatch(/LOADING/);
    expect(error).not.toBeInstanceOf(RefusedError);
  });

  test("RD-13 a user with exactly the documented rights does everything; with fewer it is refused by name", async () => {
    const own = await ownServer({ appendonly: "always" });
    const store = plain(own.port);
    await store.call("ACL", ["SETUSER", "elect", "on", ">s3cret/", ...privileges(name)]);
    const asUser = on(own).replace("redis://", "redis://elect:s3cret%2F@");
    const [a, b] = [await candidate(asUser), await candidate(asUser)];
    let changes = 0;
    await b.adapter.watch("x", () => (changes += 1), call());
    const bid = a.bid("x", "a");
    tokenOf(await a.claim(bid));
    const waiting = b.bid("x", "b");
    await b.claim(waiting);
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    expect(await b.adapter.read("x", call())).toMatchObject({ id: "a" });
    expect(await b.adapter.candidates("x", call())).toHaveLength(2);
    await store.hdel(records, "incarnation");
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    await a.session.release([bid], call());
    await b.heard.next("hint x");
    tokenOf(await b.claim(waiting));
    await eventually("the watcher hears", () => changes >= 3);
    await b.session.dispose([waiting], call());
    await a.adapter.end(b.session.ticket, call());
    await a.session.end(call());
    expect(a.session.warnings).toEqual([]);
    // Not one command was denied on the way.
    expect(await store.call("ACL", ["LOG"])).toEqual([]);

    for (const right of ["+eval", "+subscribe", "+info", "+hscan", "&"]) {
      const fewer = right === "&" ? ["resetchannels"] : [right.replace("+", "-")];
      await store.call("ACL", ["SETUSER", "elect", ...privileges(name), ...fewer]);
      await store.script("FLUSH");
      const c = candidate(asUser).then(async (session) => session.prove());
      await expect(c).rejects.toMatchObject({ refusal: "permission" });
    }
  });

  test("G-25 wrong and revoked credentials are refused by type, and never shown", async () => {
    const own = await ownServer({ appendonly: "always" });
    const store = plain(own.port);
    await store.call("ACL", ["SETUSER", "elect", "on", ">s3cret", ...privileges(name)]);
    const url = on(own).replace("redis://", "redis://elect:s3cret@");
    const a = await candidate(url);
    await store.call("ACL", ["SETUSER", "elect", "resetpass", ">other"]);
    await store.call("CLIENT", ["KILL", "USER", "elect"]);
    await a.heard.next("doubt");
    const refused: unknown = await a.prove().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RefusedError);
    expect(refused).toMatchObject({ refusal: "authentication" });
    await expect(candidate(url)).rejects.toMatchObject({ refusal: "authentication" });
    expect(String((refused as Error).message)).not.toContain("s3cret");
    expect(a.adapter.address).not.toContain("s3cret");
  });

  test("a database that cannot be selected is refused: the driver would go on in another one", async () => {
    const bare = plain(server.port, { db: 9999 });
    const errors: Error[] = [];
    bare.on("error", (error) => errors.push(error));
    expect(await bare.ping()).toBe("PONG");
    expect(errors.map(String).join()).toMatch(/out of range/);
    await expect(candidate(url.replace("?", "/9999?"))).rejects.toMatchObject({ refusal: "database" });
  });

  test("RD-16 a key of another type is refused by type", async () => {
    await plain(server.port).set(records, "theirs");
    await expect(candidate(url)).rejects.toMatchObject({ refusal: "wrong-type" });
    await plain(server.port).del(records);
  });

  test("G-21 a server that is not there: rejected at once, with the reason", async () => {
    await expect(candidate("redis://127.0.0.1:1")).rejects.toThrow(/ECONNREFUSED/);
  });

  test("a maxTtl that differs between processes is reported, and the longer one counts", async () => {
    const a = await candidate(url);
    const b = await candidate(url.replace(`maxTtl=${maxTtl}`, "maxTtl=9000"));
    expect([a, b].map(({ session }) => session.warnings.some((text) => text.includes("maxTtl is")))).toEqual([
      false,
      false,
    ]);
    const c = await candidate(url);
    expect(c.session.warnings.join("\n")).toMatch(/maxTtl is 2000 ms here and was 9000 ms/);
  });
});

describe("options", () => {
  test.each([
    ["redis://h/0?colour=red", "url"],
    ["redis://u:p%ZZ@h", "url"],
    ["http://h", "url"],
    ["redis://h1,h2", "url"],
    ["redis://h?namespace={x}", "namespace"],
    ["redis://h?maxTtl=soon", "maxTtl"],
    ["redis://h?durability=yes", "durability"],
    ["redis://h?waitReplicas=1", "wait"],
    ["redis://h?sentinel=", "sentinels"],
  ])("%s is refused", (bad, option) => {
    const make = (): unknown => new RedisAdapter(bad);
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(expect.objectContaining({ option }));
  });

  test.each([
    ["redis://u:secret@h", "redis://h:6379/0?namespace=default"],
    ["rediss://:secret@h:1/3?namespace=n", "rediss://h:1/3?namespace=n"],
    ["redis://[::1]:7", "redis://[::1]:7/0?namespace=default"],
    ["redis://u:secret@s1,s2:5?sentinel=main", "redis://main@s1:26379,s2:5/0?namespace=default"],
    ["redis://n1:1,n2?cluster=true", "redis://n1:1,n2:6379/0?namespace=default"],
  ])("%s is shown as %s", (given, shown) => {
    expect(new RedisAdapter(given).address).toBe(shown);
  });
});
