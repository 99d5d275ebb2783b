/** Calls and what they say: repeated, aborted, refused, over connections that break; and the tokens that they hand out. */

import { RefusedError } from "@elect/core/adapter";
import { describe, expect, test } from "vitest";
import { RedisAdapter } from "../src/adapter.ts";
import {
  call,
  candidate,
  eventually,
  Heard,
  maxTtl,
  nonce,
  pass,
  plain,
  proxyTo,
  sharedStore,
  tokenOf,
} from "./support.ts";

const at = await sharedStore();

describe("what can be said twice", () => {
  test("release, dispose and end", async () => {
    const [a, b] = [await candidate(at.url), await candidate(at.url)];
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
    const [a, b] = [await candidate(at.url), await candidate(at.url)];
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
    const a = await candidate(at.url);
    const keep = a.bid("keep");
    const token = tokenOf(await a.claim(keep));
    await a.session.dispose([a.bid("unknown")], call());
    expect(tokenOf(await a.claim(keep))).toBe(token);
    expect(tokenOf(await a.claim(a.bid("more")))).toBeGreaterThan(token);
  });
});

describe("tokens", () => {
  test("rise over fifty hands, over release and over the same owner", async () => {
    const [a, b] = [await candidate(at.url), await candidate(at.url)];
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
    const a = await candidate(at.url);
    const store = plain(at.server.port);
    const high = 2n ** 53n - 5n;
    await store.hset(at.records, "token", `${high}`);
    const answers = await a.session.claim([a.bid("x"), a.bid("y")], call());
    expect(answers.map(tokenOf)).toEqual([high + 1n, high + 2n]);
    expect(await store.hget(at.records, "token")).toBe(`${high + 2n}`);
  });

  test("count on from the server's time in µs", async () => {
    const a = await candidate(at.url);
    const [seconds, micros] = await plain(at.server.port).time();
    const token = tokenOf(await a.claim(a.bid("x")));
    const now = BigInt(seconds ?? 0) * 1_000_000n + BigInt(micros ?? 0);
    expect(token).toBeGreaterThan(now);
    expect(token).toBeLessThan(now + 10_000_000n);
  });
});

describe("calls and connections", () => {
  test("two connections a session, one more for questions, none after close", async () => {
    const proxy = await proxyTo(at.server.port);
    const a = await candidate(at.through(proxy.port));
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
    const proxy = await proxyTo(at.server.port);
    const a = await candidate(at.through(proxy.port));
    const bid = a.bid("x");
    const token = tokenOf(await a.claim(bid));
    proxy.silence();
    await expect(a.session.prove(new Map([[bid.nonce, bid]]), call(100))).rejects.toThrow(/timeout/i);
    proxy.heal();
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    expect(tokenOf(await a.claim(bid))).toBe(token);
  });

  test("an aborted signal sends nothing", async () => {
    const proxy = await proxyTo(at.server.port);
    const a = await candidate(at.through(proxy.port));
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
    const proxy = await proxyTo(at.server.port);
    const a = await candidate(at.through(proxy.port));
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    proxy.reset();
    await a.heard.next("doubt");
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    await a.heard.next("hint *");
  });

  test("after abandon nothing is heard and nothing is connected", async () => {
    const proxy = await proxyTo(at.server.port);
    const a = await candidate(at.through(proxy.port));
    a.session.abandon();
    await eventually("both are closed", () => proxy.connections.length === 0);
    await expect(a.prove()).rejects.toThrow(/let go/);
    expect(a.heard.all).toEqual([]);
  });

  test("a ttl longer than the cap is refused, and so is a ticket that is none", async () => {
    const adapter = new RedisAdapter(at.url);
    await expect(
      adapter.open({ ttlMs: maxTtl + 1, nonce: nonce(), events: new Heard() }, call()),
    ).rejects.toThrow(/exceeds maxTtl/);
    await expect(adapter.end("{}", call())).rejects.toThrow(/not the ticket/);
    await adapter.close();
  });

  test("G-29 another format of the records is refused", async () => {
    await plain(at.server.port).hset(at.records, "format", "2");
    await expect(candidate(at.url)).rejects.toThrow(RefusedError);
    await expect(candidate(at.url)).rejects.toMatchObject({ refusal: "format" });
  });
});
