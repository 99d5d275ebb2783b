/** The port's rules, each forced at its exact point. */

import { RefusedError } from "@elect/core/adapter";
import { beforeEach, describe, expect, test } from "vitest";
import { RedisAdapter } from "../src/adapter.ts";
import {
  call,
  candidate,
  eventually,
  Heard,
  maxTtl,
  monitored,
  namespace,
  nonce,
  pass,
  plain,
  proxyTo,
  sharedServer,
  tokenOf,
  type Candidate,
} from "./support.ts";

const server = await sharedServer();
const base = server.url;
let records: string;
let url: string;
const keyOf = ({ session }: Candidate): string => `${records}:s:${session.id}`;
const through = (port: number): string => url.replace(`:${server.port}`, `:${port}`);

beforeEach(() => {
  const name = namespace();
  records = `elect:{${name}}`;
  url = `${base}?namespace=${name}&maxTtl=${maxTtl}&durability=assumed`;
});

describe("S1 death is one step", () => {
  test("a proof of a session that is gone says so, and brings nothing back", async () => {
    const a = await candidate(url);
    const store = plain(server.port);
    await store.del(keyOf(a));
    expect(await a.prove()).toMatchObject({ kind: "dead" });
    expect(await store.exists(keyOf(a))).toBe(0);
  });

  test("a proof that arrives after the take-over undoes nothing", async () => {
    const proxy = await proxyTo(server.port);
    const [a, b] = [await candidate(through(proxy.port)), await candidate(url)];
    tokenOf(await a.claim(a.bid("x")));
    expect(await a.prove()).toMatchObject({ kind: "alive" }); // So that the server knows the script.
    const held = proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes(":s:"), "hold");
    await expect(a.session.prove(new Map(), call(100))).rejects.toThrow(/timeout/i);
    await held.seen;
    const store = plain(server.port);
    await store.pexpireat(keyOf(a), 1); // Its lease runs out.
    const token = tokenOf(await b.claim(b.bid("x", "b")));
    const arrival = await monitored(server.port, (line) => /^pexpire/i.test(line) && line.includes(keyOf(a)));
    proxy.heal();
    await arrival.seen;
    expect(await store.exists(keyOf(a))).toBe(0);
    expect(await b.adapter.read("x", call())).toMatchObject({ id: "b", token });
  });

  test("expiry is Redis's own: no proof is granted at or after it", async () => {
    const a = await candidate(url, { ttl: 200 });
    await pass(210);
    expect(await a.prove()).toMatchObject({
      kind: "dead",
      reason: expect.stringMatching(/its lease ran out/) as string,
    });
  });
});

describe("S2 a record names session and nonce", () => {
  test("the same nonce gets the same answer, any other is held, of whichever session", async () => {
    const [a, b] = [await candidate(url), await candidate(url)];
    const bid = a.bid("x", "a");
    const token = tokenOf(await a.claim(bid));
    expect(tokenOf(await a.claim(bid))).toBe(token);
    const held = { kind: "held", by: { id: "a", token, metadata: '{"of":"a"}' } };
    expect(await a.claim(a.bid("x", "again"))).toMatchObject(held);
    expect(await b.claim(b.bid("x", "b"))).toMatchObject(held);
  });

  test("two bids of one request for one election: one wins", async () => {
    const a = await candidate(url);
    const answers = await a.session.claim([a.bid("x", "first"), a.bid("y"), a.bid("x", "second")], call());
    expect(answers.map(({ kind }) => kind)).toEqual(["granted", "granted", "held"]);
  });
});

describe("S3 a claim is not a proof", () => {
  test("it extends nothing", async () => {
    const a = await candidate(url);
    const store = plain(server.port);
    await store.pexpire(keyOf(a), 700);
    tokenOf(await a.claim(a.bid("x")));
    expect(await store.pttl(keyOf(a))).toBeLessThanOrEqual(700);
  });

  test("a dead session is granted nothing and told that it is over", async () => {
    const a = await candidate(url);
    const store = plain(server.port);
    await store.del(keyOf(a));
    await expect(a.claim(a.bid("x"))).rejects.toThrow(/is over/);
    await a.heard.next("ended");
    expect(await store.hget(records, "r:x")).toBeNull();
    expect(await store.exists(keyOf(a))).toBe(0);
  });
});

describe("S4 no late ghosts", () => {
  test("A5.1 late writes, RD-3 G-7: a claim that arrives after it was disposed of is refused", async () => {
    const proxy = await proxyTo(server.port);
    const a = await candidate(through(proxy.port));
    tokenOf(await a.claim(a.bid("so that the server knows the script")));
    const bid = a.bid("ghost");
    const held = proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("ghost"), "hold");
    await expect(a.session.claim([bid], call(100))).rejects.toThrow(/timeout/i);
    await held.seen;
    await a.session.dispose([bid], call());
    const store = plain(server.port);
    const arrival = await monitored(
      server.port,
      (line) => /^evalsha/i.test(line) && line.includes(bid.nonce),
    );
    proxy.heal();
    await arrival.seen;
    expect(await store.hget(records, "r:ghost")).toBeNull();
    expect(tokenOf(await a.claim(a.bid("ghost")))).toBeGreaterThan(0n);
  });

  test("without disposing, the late claim would have led (the control)", async () => {
    const proxy = await proxyTo(server.port);
    const a = await candidate(through(proxy.port));
    tokenOf(await a.claim(a.bid("so that the server knows the script")));
    const bid = a.bid("ghost");
    const held = proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("ghost"), "hold");
    await expect(a.session.claim([bid], call(100))).rejects.toThrow(/timeout/i);
    await held.seen;
    proxy.heal();
    const store = plain(server.port);
    await eventually("the late claim arrives", async () => (await store.hget(records, "r:ghost")) !== null);
  });

  test("G-6 a claim whose reply is lost knows itself again, and disposing frees it", async () => {
    const proxy = await proxyTo(server.port);
    const [a, b] = [await candidate(through(proxy.port)), await candidate(url)];
    tokenOf(await a.claim(a.bid("so that the server knows the script")));
    const bid = a.bid("x");
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes(bid.nonce), "cut-after");
    await expect(a.claim(bid)).rejects.toThrow(/closed|reset/i);
    expect(await b.claim(b.bid("x"))).toMatchObject({ kind: "held" });
    const token = tokenOf(await a.claim(bid));
    expect(tokenOf(await a.claim(bid))).toBe(token);
    await a.session.dispose([bid], call());
    await b.heard.next("hint x");
    expect(tokenOf(await b.claim(b.bid("x")))).toBeGreaterThan(token);
  });
});

describe("S5 third parties are noticed within one proof", () => {
  const led = async (elections: number) => {
    const a = await candidate(url);
    const bids = Array.from({ length: elections }, (_, i) => a.bid(`e${i}`));
    const answers = await a.session.claim(bids, call());
    expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(["granted"]));
    expect(await a.prove(...bids)).toMatchObject({ kind: "alive", lost: [] });
    return { a, bids, store: plain(server.port) };
  };

  test("a deleted record, of one", async () => {
    const { a, bids, store } = await led(1);
    await store.hdel(records, "r:e0");
    expect(await a.prove(...bids)).toMatchObject({ kind: "alive", lost: [bids[0]] });
    expect(await a.prove()).toMatchObject({ kind: "alive", lost: [] });
  });

  test("any deleted record of a thousand", async () => {
    const { a, bids, store } = await led(1000);
    await store.hdel(records, "r:e999");
    const proof = await a.prove(...bids);
    expect(proof).toMatchObject({ lost: [{ election: "e999" }] });
  });

  test("every session notices, not only the one that proves first", async () => {
    const { a, bids, store } = await led(300);
    const b = await candidate(url);
    await store.hdel(records, "r:e299");
    expect(await b.prove()).toMatchObject({ kind: "alive", lost: [] });
    expect(await a.prove(...bids)).toMatchObject({ lost: [{ election: "e299" }] });
  });

  test("an overwritten record", async () => {
    const { a, bids, store } = await led(2);
    await store.hset(records, "r:e1", "rubbish");
    expect(await a.prove(...bids)).toMatchObject({ lost: [{ election: "e1" }] });
    expect(tokenOf(await a.claim(a.bid("e1")))).toBeGreaterThan(0n);
  });

  test("an overwritten record of hundreds, in its turn", async () => {
    const { a, bids, store } = await led(300);
    await store.hset(records, "r:e299", "rubbish");
    const lost = [];
    for (let proofs = 0; proofs < 3; proofs++) {
      const proof = await a.prove(...bids);
      if (proof.kind === "alive") lost.push(...proof.lost);
    }
    expect(lost.map(({ election }) => election)).toEqual(["e299"]);
  });

  test("RD-5 all records, their counter included: lost, and the next token is still greater", async () => {
    const { a, bids, store } = await led(2);
    const before = (await a.adapter.read("e0", call()))!.token;
    await store.del(records);
    const proof = await a.prove(...bids);
    expect(proof).toMatchObject({ kind: "alive", lost: bids });
    expect(tokenOf(await a.claim(a.bid("e0")))).toBeGreaterThan(before);
  });

  test("any single field of the header is put back, and costs no term", async () => {
    const { a, bids, store } = await led(1);
    const before = (await a.adapter.read("e0", call()))!.token;
    for (const field of ["format", "server", "log", "maxTtl", "incarnation", "count", "token"]) {
      expect(await store.hdel(records, field)).toBe(1);
      expect({ field, ...(await a.prove(...bids)) }).toMatchObject({ field, kind: "alive", lost: [] });
      expect([field, await store.hexists(records, field)]).toEqual([field, 1]);
    }
    await a.session.release(bids, call());
    expect(tokenOf(await a.claim(a.bid("e0")))).toBeGreaterThan(before);
  });

  test("the session's key", async () => {
    const { a, bids, store } = await led(1);
    await store.del(keyOf(a));
    expect(await a.prove(...bids)).toMatchObject({
      kind: "dead",
      reason: expect.stringMatching(/its key was deleted/) as string,
    });
  });
});

describe("S6 who cleans up", () => {
  test("a dead waiter is no candidate, is not woken, and is dropped by the release that comes across it", async () => {
    const [a, dead, live] = [await candidate(url), await candidate(url), await candidate(url)];
    const bid = a.bid("x", "a");
    tokenOf(await a.claim(bid));
    await dead.claim(dead.bid("x", "dead"));
    await live.claim(live.bid("x", "live"));
    const store = plain(server.port);
    expect((await a.adapter.candidates("x", call())).map(({ id }) => id)).toEqual(["a", "dead", "live"]);
    await store.del(keyOf(dead));
    expect((await a.adapter.candidates("x", call())).map(({ id }) => id)).toEqual(["a", "live"]);
    await a.session.release([bid], call());
    await live.heard.next("hint x");
    expect(dead.heard.all).toEqual([]);
    expect(await store.zcard(`${records}:q:x`)).toBe(1);
  });

  test("a queue that nobody asks about any more vanishes by itself", async () => {
    const [a, b] = [await candidate(url), await candidate(url)];
    tokenOf(await a.claim(a.bid("x")));
    await b.claim(b.bid("x"));
    const left = await plain(server.port).pttl(`${records}:q:x`);
    expect(left).toBeGreaterThan(maxTtl);
    expect(left).toBeLessThanOrEqual(3 * maxTtl);
  });

  test("records of dead leaders that nobody succeeds are swept by anybody's proofs", async () => {
    const [a, other] = [await candidate(url), await candidate(url)];
    await a.session.claim(
      Array.from({ length: 600 }, (_, i) => a.bid(`e${i}`)),
      call(),
    );
    const store = plain(server.port);
    await store.del(keyOf(a));
    for (let proofs = 0; proofs < 100 && (await store.hlen(records)) > 8; proofs++) await other.prove();
    expect(await store.hmget(records, "count", "r:e1")).toEqual(["0", null]);
    expect(await store.hlen(records)).toBe(8);
  });

  test("a record of a dead session is nobody", async () => {
    const a = await candidate(url);
    tokenOf(await a.claim(a.bid("x")));
    await plain(server.port).del(keyOf(a));
    expect(await a.adapter.read("x", call())).toBeNull();
    expect(await a.adapter.candidates("x", call())).toEqual([]);
  });

  test("end frees all in one step, wakes the waiters with one message a session, and leaves nothing but the header", async () => {
    const [a, b] = [await candidate(url), await candidate(url)];
    await a.session.claim([a.bid("x"), a.bid("y"), a.bid("z")], call());
    await b.session.claim([b.bid("x"), b.bid("y")], call());
    await a.session.end(call());
    await Promise.all([b.heard.next("hint x"), b.heard.next("hint y")]);
    await b.session.end(call());
    const store = plain(server.port);
    expect(await store.keys(`${records}*`)).toEqual([records]);
    expect((await store.hkeys(records)).toSorted()).toEqual([
      "count",
      "format",
      "incarnation",
      "log",
      "maxTtl",
      "server",
      "since",
      "token",
    ]);
  });
});

describe("what can be said twice", () => {
  test("release, dispose and end", async () => {
    const [a, b] = [await candidate(url), await candidate(url)];
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    await a.session.release([bid], call());
    await a.session.release([bid], call());
    await a.session.dispose([bid], call());
    const { ticket } = a.session;
    await b.adapter.end(ticket, call());
    await b.adapter.end(ticket, call());
    expect(await a.prove()).toMatchObject({ kind: "dead" });
  });

  test("RD-14 nothing is released that names another", async () => {
    const [a, b] = [await candidate(url), await candidate(url)];
    const old = a.bid("x");
    tokenOf(await a.claim(old));
    await a.session.release([old], call());
    const token = tokenOf(await b.claim(b.bid("x", "b")));
    await a.session.release([old], call());
    await a.session.dispose([old], call());
    await a.session.end(call());
    expect(await a.adapter.read("x", call())).toMatchObject({ id: "b", token });
  });

  test("a claim may go on after a dispose of another", async () => {
    const a = await candidate(url);
    const keep = a.bid("keep");
    const token = tokenOf(await a.claim(keep));
    await a.session.dispose([a.bid("unknown")], call());
    expect(tokenOf(await a.claim(keep))).toBe(token);
    expect(tokenOf(await a.claim(a.bid("more")))).toBeGreaterThan(token);
  });
});

describe("tokens", () => {
  test("rise over fifty hands, over release and over the same owner", async () => {
    const [a, b] = [await candidate(url), await candidate(url)];
    let last = 0n;
    for (let i = 0; i < 50; i++) {
      const who = i % 3 === 0 ? a : b;
      const bid = who.bid("x");
      const token = tokenOf(await who.claim(bid));
      expect(token).toBeGreaterThan(last);
      last = token;
      await who.session.release([bid], call());
    }
  });

  test("A5.1 fencing: never pass a float's string form", async () => {
    const a = await candidate(url);
    const store = plain(server.port);
    const high = 2n ** 53n - 5n;
    await store.hset(records, "token", `${high}`);
    const answers = await a.session.claim([a.bid("x"), a.bid("y")], call());
    expect(answers.map(tokenOf)).toEqual([high + 1n, high + 2n]);
    expect(await store.hget(records, "token")).toBe(`${high + 2n}`);
  });

  test("count on from the server's time in µs", async () => {
    const a = await candidate(url);
    const [seconds, micros] = await plain(server.port).time();
    const token = tokenOf(await a.claim(a.bid("x")));
    const now = BigInt(seconds ?? 0) * 1_000_000n + BigInt(micros ?? 0);
    expect(token).toBeGreaterThan(now);
    expect(token).toBeLessThan(now + 10_000_000n);
  });
});

describe("waking", () => {
  test("one waiter is woken for one release: the oldest", async () => {
    const a = await candidate(url);
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    const waiters = [await candidate(url), await candidate(url), await candidate(url)];
    for (const waiter of waiters) await waiter.claim(waiter.bid("x"));
    await a.session.release([bid], call());
    await waiters[0]!.heard.next("hint x");
    await pass(50);
    expect(waiters.map(({ heard }) => heard.all)).toEqual([[], [], []]);
  });

  test("a woken waiter that leaves passes it on", async () => {
    const [a, b, c] = [await candidate(url), await candidate(url), await candidate(url)];
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    const [leaves, stays] = [b.bid("x"), c.bid("x")];
    await b.claim(leaves);
    await c.claim(stays);
    await a.session.release([bid], call());
    await b.heard.next("hint x");
    await b.session.release([leaves], call());
    await c.heard.next("hint x");
    tokenOf(await c.claim(stays));
  });

  test("a woken waiter that died holds nobody up for longer than the holder's lease", async () => {
    const [dead, c] = [await candidate(url), await candidate(url)];
    const short = 1500;
    const a = await candidate(url, { ttl: short });
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    await dead.claim(dead.bid("x"));
    const answer = await c.claim(c.bid("x"));
    if (answer.kind !== "held" || answer.retryInMs === null) throw new Error("no net under the push");
    expect(answer.retryInMs).toBeLessThanOrEqual(short + 1);
    await a.session.release([bid], call());
    dead.session.abandon();
    await pass(answer.retryInMs);
    tokenOf(await c.claim(c.bid("x")));
  });

  test("after a crash the retry comes when the lease is over, not before", async () => {
    const [b, a] = [await candidate(url), await candidate(url, { ttl: 1500 })];
    tokenOf(await a.claim(a.bid("x")));
    a.session.abandon();
    const bid = b.bid("x");
    const answer = await b.claim(bid);
    if (answer.kind !== "held") throw new Error("not held");
    await pass((answer.retryInMs ?? 0) + 1);
    tokenOf(await b.claim(bid));
  });

  test("a watcher hears of every change", async () => {
    const [a, b] = [await candidate(url), await candidate(url)];
    let changes = 0;
    const watch = await b.adapter.watch("x", () => (changes += 1), call());
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    await eventually("the grant", () => changes === 1);
    await a.session.release([bid], call());
    await eventually("the release", () => changes === 2);
    watch.close();
    tokenOf(await a.claim(a.bid("x")));
    await pass(30);
    expect(changes).toBe(2);
  });
});

describe("calls and connections", () => {
  test("two connections a session, one more for questions, none after close", async () => {
    const proxy = await proxyTo(server.port);
    const a = await candidate(through(proxy.port));
    await a.session.claim(
      Array.from({ length: 1000 }, (_, i) => a.bid(`e${i}`)),
      call(),
    );
    await a.prove();
    expect(proxy.opened).toBe(2);
    await a.adapter.read("e1", call());
    await a.adapter.candidates("e1", call());
    expect(proxy.opened).toBe(3);
    await a.session.end(call());
    await a.adapter.close();
    await eventually("all are closed", () => proxy.connections.length === 0);
  });

  test("a call that is aborted destroys its connection, and the session goes on over a new one", async () => {
    const proxy = await proxyTo(server.port);
    const a = await candidate(through(proxy.port));
    const bid = a.bid("x");
    const token = tokenOf(await a.claim(bid));
    proxy.silence();
    await expect(a.session.prove(new Map([[bid.nonce, bid]]), call(100))).rejects.toThrow(/timeout/i);
    proxy.heal();
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    expect(tokenOf(await a.claim(bid))).toBe(token);
  });

  test("an aborted signal sends nothing", async () => {
    const proxy = await proxyTo(server.port);
    const a = await candidate(through(proxy.port));
    let sent = 0;
    proxy.observe(({ direction }) => void (direction === "up" && (sent += 1)));
    const aborted = { signal: AbortSignal.abort(new Error("no more")), timeoutMs: 1000 };
    await expect(a.session.claim([a.bid("x")], aborted)).rejects.toThrow("no more");
    await expect(a.session.prove(new Map(), aborted)).rejects.toThrow("no more");
    await expect(a.adapter.read("x", aborted)).rejects.toThrow("no more");
    await pass(30);
    expect(sent).toBe(0);
  });

  test("a broken connection is a doubt, not an end", async () => {
    const proxy = await proxyTo(server.port);
    const a = await candidate(through(proxy.port));
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    proxy.reset();
    await a.heard.next("doubt");
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    await a.heard.next("hint *");
  });

  test("after abandon nothing is heard and nothing is connected", async () => {
    const proxy = await proxyTo(server.port);
    const a = await candidate(through(proxy.port));
    a.session.abandon();
    await eventually("both are closed", () => proxy.connections.length === 0);
    await expect(a.prove()).rejects.toThrow(/let go/);
    expect(a.heard.all).toEqual([]);
  });

  test("a ttl longer than the cap is refused, and so is a ticket that is none", async () => {
    const adapter = new RedisAdapter(url);
    await expect(
      adapter.open({ ttlMs: maxTtl + 1, nonce: nonce(), events: new Heard() }, call()),
    ).rejects.toThrow(/exceeds maxTtl/);
    await expect(adapter.end("{}", call())).rejects.toThrow(/not the ticket/);
    await adapter.close();
  });

  test("G-29 another format of the records is refused", async () => {
    await plain(server.port).hset(records, "format", "2");
    await expect(candidate(url)).rejects.toThrow(RefusedError);
    await expect(candidate(url)).rejects.toMatchObject({ refusal: "format" });
  });
});
