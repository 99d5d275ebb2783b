import { describe, expect, test } from "vitest";
import {
  call,
  candidate,
  eventually,
  maxTtl,
  monitored,
  pass,
  plain,
  proxyTo,
  sharedStore,
  tokenOf,
} from "./support.ts";

const at = await sharedStore();

describe("S1 death is one step", () => {
  test("a proof of a session that is gone says so, and brings nothing back", async () => {
    const a = await candidate(at.url);
    const store = plain(at.server.port);
    await store.del(at.keyOf(a));
    expect(await a.prove()).toMatchObject({ kind: "dead" });
    expect(await store.exists(at.keyOf(a))).toBe(0);
  });

  test("a proof that arrives after the take-over undoes nothing", async () => {
    const proxy = await proxyTo(at.server.port);
    const [a, b] = [await candidate(at.through(proxy.port)), await candidate(at.url)];
    tokenOf(await a.claim(a.bid("x")));
    expect(await a.prove()).toMatchObject({ kind: "alive" }); // So that the server knows the script.
    const held = proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes(":s:"), "hold");
    await expect(a.session.prove(new Map(), call(100))).rejects.toThrow(/timeout/i);
    await held.seen;
    const store = plain(at.server.port);
    await store.pexpireat(at.keyOf(a), 1); // Its lease runs out.
    const token = tokenOf(await b.claim(b.bid("x", "b")));
    const arrival = await monitored(
      at.server.port,
      (line) => /^pexpire/i.test(line) && line.includes(at.keyOf(a)),
    );
    proxy.heal();
    await arrival.seen;
    expect(await store.exists(at.keyOf(a))).toBe(0);
    expect(await b.adapter.read("x", call())).toMatchObject({ id: "b", token });
  });

  test("expiry is Redis's own: no proof is granted at or after it", async () => {
    const a = await candidate(at.url, { ttl: 200 });
    await pass(210);
    expect(await a.prove()).toMatchObject({
      kind: "dead",
      reason: expect.stringMatching(/its lease ran out/) as string,
    });
  });
});

describe("S2 a record names session and nonce", () => {
  test("the same nonce gets the same answer, any other is held, of whichever session", async () => {
    const [a, b] = [await candidate(at.url), await candidate(at.url)];
    const bid = a.bid("x", "a");
    const token = tokenOf(await a.claim(bid));
    expect(tokenOf(await a.claim(bid))).toBe(token);
    const held = { kind: "held", by: { id: "a", token, metadata: '{"of":"a"}' } };
    expect(await a.claim(a.bid("x", "again"))).toMatchObject(held);
    expect(await b.claim(b.bid("x", "b"))).toMatchObject(held);
  });

  test("two bids of one request for one election: one wins", async () => {
    const a = await candidate(at.url);
    const answers = await a.session.claim([a.bid("x", "first"), a.bid("y"), a.bid("x", "second")], call());
    expect(answers.map(({ kind }) => kind)).toEqual(["granted", "granted", "held"]);
  });
});

describe("S3 a claim is not a proof", () => {
  test("it extends nothing", async () => {
    const a = await candidate(at.url);
    const store = plain(at.server.port);
    await store.pexpire(at.keyOf(a), 700);
    tokenOf(await a.claim(a.bid("x")));
    expect(await store.pttl(at.keyOf(a))).toBeLessThanOrEqual(700);
  });

  test("a dead session is granted nothing and told that it is over", async () => {
    const a = await candidate(at.url);
    const store = plain(at.server.port);
    await store.del(at.keyOf(a));
    await expect(a.claim(a.bid("x"))).rejects.toThrow(/is over/);
    await a.heard.next("ended");
    expect(await store.hget(at.records, "r:x")).toBeNull();
    expect(await store.exists(at.keyOf(a))).toBe(0);
  });
});

describe("S4 no late ghosts", () => {
  test("A5.1 late writes, RD-3 G-7: a claim that arrives after it was disposed of is refused", async () => {
    const proxy = await proxyTo(at.server.port);
    const a = await candidate(at.through(proxy.port));
    tokenOf(await a.claim(a.bid("so that the server knows the script")));
    const bid = a.bid("ghost");
    const held = proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("ghost"), "hold");
    await expect(a.session.claim([bid], call(100))).rejects.toThrow(/timeout/i);
    await held.seen;
    await a.session.dispose([bid], call());
    const store = plain(at.server.port);
    const arrival = await monitored(
      at.server.port,
      (line) => /^evalsha/i.test(line) && line.includes(bid.nonce),
    );
    proxy.heal();
    await arrival.seen;
    expect(await store.hget(at.records, "r:ghost")).toBeNull();
    expect(tokenOf(await a.claim(a.bid("ghost")))).toBeGreaterThan(0n);
  });

  test("without disposing, the late claim would have led (the control)", async () => {
    const proxy = await proxyTo(at.server.port);
    const a = await candidate(at.through(proxy.port));
    tokenOf(await a.claim(a.bid("so that the server knows the script")));
    const bid = a.bid("ghost");
    const held = proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("ghost"), "hold");
    await expect(a.session.claim([bid], call(100))).rejects.toThrow(/timeout/i);
    await held.seen;
    proxy.heal();
    const store = plain(at.server.port);
    await eventually(
      "the late claim arrives",
      async () => (await store.hget(at.records, "r:ghost")) !== null,
    );
  });

  test("G-6 a claim whose reply is lost knows itself again, and disposing frees it", async () => {
    const proxy = await proxyTo(at.server.port);
    const [a, b] = [await candidate(at.through(proxy.port)), await candidate(at.url)];
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
    const a = await candidate(at.url);
    const bids = Array.from({ length: elections }, (_, i) => a.bid(`e${i}`));
    const answers = await a.session.claim(bids, call());
    expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(["granted"]));
    expect(await a.prove(...bids)).toMatchObject({ kind: "alive", lost: [] });
    return { a, bids, store: plain(at.server.port) };
  };

  test("a deleted record, of one", async () => {
    const { a, bids, store } = await led(1);
    await store.hdel(at.records, "r:e0");
    expect(await a.prove(...bids)).toMatchObject({ kind: "alive", lost: [bids[0]] });
    expect(await a.prove()).toMatchObject({ kind: "alive", lost: [] });
  });

  test("any deleted record of a thousand", async () => {
    const { a, bids, store } = await led(1000);
    await store.hdel(at.records, "r:e999");
    const proof = await a.prove(...bids);
    expect(proof).toMatchObject({ lost: [{ election: "e999" }] });
  });

  test("every session notices, not only the one that proves first", async () => {
    const { a, bids, store } = await led(300);
    const b = await candidate(at.url);
    await store.hdel(at.records, "r:e299");
    expect(await b.prove()).toMatchObject({ kind: "alive", lost: [] });
    expect(await a.prove(...bids)).toMatchObject({ lost: [{ election: "e299" }] });
  });

  test("an overwritten record", async () => {
    const { a, bids, store } = await led(2);
    await store.hset(at.records, "r:e1", "rubbish");
    expect(await a.prove(...bids)).toMatchObject({ lost: [{ election: "e1" }] });
    expect(tokenOf(await a.claim(a.bid("e1")))).toBeGreaterThan(0n);
  });

  test("an overwritten record of hundreds, in its turn", async () => {
    const { a, bids, store } = await led(300);
    await store.hset(at.records, "r:e299", "rubbish");
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
    await store.del(at.records);
    const proof = await a.prove(...bids);
    expect(proof).toMatchObject({ kind: "alive", lost: bids });
    expect(tokenOf(await a.claim(a.bid("e0")))).toBeGreaterThan(before);
  });

  test("any single field of the header is put back, and costs no term", async () => {
    const { a, bids, store } = await led(1);
    const before = (await a.adapter.read("e0", call()))!.token;
    for (const field of ["format", "server", "log", "maxTtl", "incarnation", "count", "token"]) {
      expect(await store.hdel(at.records, field)).toBe(1);
      expect({ field, ...(await a.prove(...bids)) }).toMatchObject({ field, kind: "alive", lost: [] });
      expect([field, await store.hexists(at.records, field)]).toEqual([field, 1]);
    }
    await a.session.release(bids, call());
    expect(tokenOf(await a.claim(a.bid("e0")))).toBeGreaterThan(before);
  });

  test("the session's key", async () => {
    const { a, bids, store } = await led(1);
    await store.del(at.keyOf(a));
    expect(await a.prove(...bids)).toMatchObject({
      kind: "dead",
      reason: expect.stringMatching(/its key was deleted/) as string,
    });
  });
});

describe("S6 who cleans up", () => {
  test("a dead waiter is no candidate, is not woken, and is dropped by the release that comes across it", async () => {
    const [a, dead, live] = [await candidate(at.url), await candidate(at.url), await candidate(at.url)];
    const bid = a.bid("x", "a");
    tokenOf(await a.claim(bid));
    await dead.claim(dead.bid("x", "dead"));
    await live.claim(live.bid("x", "live"));
    const store = plain(at.server.port);
    expect((await a.adapter.candidates("x", call())).map(({ id }) => id)).toEqual(["a", "dead", "live"]);
    await store.del(at.keyOf(dead));
    expect((await a.adapter.candidates("x", call())).map(({ id }) => id)).toEqual(["a", "live"]);
    await a.session.release([bid], call());
    await live.heard.next("hint x");
    expect(dead.heard.all).toEqual([]);
    expect(await store.zcard(`${at.records}:q:x`)).toBe(1);
  });

  test("a queue that nobody asks about any more vanishes by itself", async () => {
    const [a, b] = [await candidate(at.url), await candidate(at.url)];
    tokenOf(await a.claim(a.bid("x")));
    await b.claim(b.bid("x"));
    const left = await plain(at.server.port).pttl(`${at.records}:q:x`);
    expect(left).toBeGreaterThan(maxTtl);
    expect(left).toBeLessThanOrEqual(3 * maxTtl);
  });

  test("records of dead leaders that nobody succeeds are swept by anybody's proofs", async () => {
    const [a, other] = [await candidate(at.url), await candidate(at.url)];
    await a.session.claim(
      Array.from({ length: 600 }, (_, i) => a.bid(`e${i}`)),
      call(),
    );
    const store = plain(at.server.port);
    await store.del(at.keyOf(a));
    for (let proofs = 0; proofs < 100 && (await store.hlen(at.records)) > 8; proofs++) await other.prove();
    expect(await store.hmget(at.records, "count", "r:e1")).toEqual(["0", null]);
    expect(await store.hlen(at.records)).toBe(8);
  });

  test("a record of a dead session is nobody", async () => {
    const a = await candidate(at.url);
    tokenOf(await a.claim(a.bid("x")));
    await plain(at.server.port).del(at.keyOf(a));
    expect(await a.adapter.read("x", call())).toBeNull();
    expect(await a.adapter.candidates("x", call())).toEqual([]);
  });

  test("end frees all in one step, wakes the waiters with one message a session, and leaves nothing but the header", async () => {
    const [a, b] = [await candidate(at.url), await candidate(at.url)];
    await a.session.claim([a.bid("x"), a.bid("y"), a.bid("z")], call());
    await b.session.claim([b.bid("x"), b.bid("y")], call());
    await a.session.end(call());
    await Promise.all([b.heard.next("hint x"), b.heard.next("hint y")]);
    await b.session.end(call());
    const store = plain(at.server.port);
    expect(await store.keys(`${at.records}*`)).toEqual([at.records]);
    expect((await store.hkeys(at.records)).toSorted()).toEqual([
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
