/** Waiting, waking and letting go: who is next, who is told, and what is left. */

import { describe, expect, test } from "vitest";
import { relay } from "./relay.ts";
import { bid, call, claim, granted, nonce, proxied, store } from "./support.ts";

describe("the queue", () => {
  test("is first come first served, and a release wakes one candidate only", async () => {
    const zk = store();
    const [a, b, c, d] = [await zk.open(), await zk.open(), await zk.open(), await zk.open()];
    const requests = [a, b, c, d].map((_, n) => bid("a", nonce(), `${n}`));
    let token = await granted(a.session, requests[0]!);
    for (const [n, { session }] of [b, c, d].entries()) {
      expect(await claim(session, requests[n + 1]!)).toMatchObject({ kind: "held", by: { id: "0", token } });
    }
    const order = (await a.adapter.candidates("a", call())).map(({ id }) => id);
    expect(order).toEqual(["0", "1", "2", "3"]);
    for (const [n, next] of [b, c, d].entries()) {
      await [a, b, c][n]!.session.release([requests[n]!], call());
      await next.heard.next("hint a");
      for (const other of [a, b, c, d]) expect(other.heard.all, "nobody else is woken").toEqual([]);
      const later = await granted(next.session, requests[n + 1]!);
      expect(later).toBeGreaterThan(token);
      token = later;
    }
  });

  test("ZK-11: somebody who leaves the middle makes no leader and wakes only who was behind", async () => {
    const zk = store();
    const [a, b, c] = [await zk.open(), await zk.open(), await zk.open()];
    const requests = [a, b, c].map(() => bid("a"));
    await granted(a.session, requests[0]!);
    await claim(b.session, requests[1]!);
    await claim(c.session, requests[2]!);
    await b.session.release([requests[1]!], call());
    await c.heard.next("hint a");
    expect(a.heard.all).toEqual([]);
    expect(await claim(c.session, requests[2]!)).toMatchObject({ kind: "held" });
    await a.session.release([requests[0]!], call());
    await c.heard.next("hint a");
    await granted(c.session, requests[2]!);
  });

  test("nobody overtakes who waits while the leader's node is gone", async () => {
    const zk = store();
    const [a, b, late] = [await zk.open(), await zk.open(), await zk.open()];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    await claim(b.session, second);
    await a.session.release([first], call());
    // b was told, but has not claimed yet.
    expect(await claim(late.session, bid("a"))).toMatchObject({ kind: "held", by: null });
    await granted(b.session, second);
  });
});

/** What core does once in a while for those who wait: it claims again, without having been told to. */
describe("the net under the watches", () => {
  const [getData, getChildren, multi] = [4, 12, 14];

  test("costs one request while nothing has changed, and sets no watch again", async () => {
    const zk = store();
    const way = await relay();
    const [a, b] = [await zk.open(), await zk.open({ url: way.url })];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    await claim(b.session, second);
    for (let look = 0; look < 5; look += 1) {
      way.requests.length = 0;
      expect(await claim(b.session, second)).toMatchObject({ kind: "held" });
      expect(way.requests).toEqual([getChildren]);
    }
    await a.session.release([first], call());
    await b.heard.next("hint a");
    way.requests.length = 0;
    await granted(b.session, second);
    expect(way.requests, "and the place is watched already").toEqual([multi, getData]);
    expect(b.heard.all, "told once").toEqual([]);
  });

  test("finds that the one ahead has gone when its watch was lost", async () => {
    const zk = store();
    const way = await relay();
    const [a, b] = [await zk.open(), await zk.open({ url: way.url })];
    const [first, second] = [bid("a"), bid("a")];
    const token = await granted(a.session, first);
    await claim(b.session, second);
    way.deaf = true;
    await a.session.release([first], call());
    await expect.poll(() => way.lost).toBe(1);
    expect(b.heard.all).toEqual([]);
    expect(await granted(b.session, second)).toBeGreaterThan(token);
  });

  test("finds that its own place was deleted when its watch was lost, and queues again", async () => {
    const zk = store();
    const way = await relay();
    const [a, b] = [await zk.open(), await zk.open({ url: way.url })];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    await claim(b.session, second);
    const operator = await zk.operator();
    const election = zk.paths.election("a");
    const own = (await operator.children(election))!.find((node) => node.includes(second.nonce));
    way.deaf = true;
    await operator.remove(`${election}/${own}`);
    await expect.poll(() => way.lost).toBe(1);
    way.deaf = false;
    expect(await claim(b.session, second)).toMatchObject({ kind: "held" });
    expect(await operator.children(election), "two places and the leader").toHaveLength(3);
    // The watches are those of the new place.
    await a.session.release([first], call());
    await b.heard.next("hint a");
    await granted(b.session, second);
  });

  test("looks at everything again on a new connection, whose watches are none", async () => {
    const zk = store();
    const { proxy, url } = await proxied();
    const [a, b] = [await zk.open(), await zk.open({ url })];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    await claim(b.session, second);
    proxy.reset();
    await b.heard.next("doubt");
    await claim(b.session, second);
    await a.session.release([first], call());
    await b.heard.next("hint a");
    await granted(b.session, second);
  });
});

describe("a release", () => {
  test("deletes what names this session and nonce, and nothing else; again, it is a success", async () => {
    const zk = store();
    const [a, b] = [await zk.open(), await zk.open()];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    await claim(b.session, second);
    await a.session.release([first], call());
    await b.heard.next("hint a");
    const token = await granted(b.session, second);
    await a.session.release([first], call());
    await a.session.release([second], call());
    await a.session.dispose([first, second], call());
    expect(await a.adapter.read("a", call())).toMatchObject({ token });
  });

  test("S6: the last one out removes the election's node; tokens go on rising", async () => {
    const zk = store();
    const { session } = await zk.open();
    const operator = await zk.operator();
    let last = 0n;
    for (let term = 0; term < 10; term += 1) {
      const request = bid("a");
      const token = await granted(session, request);
      expect(token).toBeGreaterThan(last);
      last = token;
      await session.release([request], call());
      expect(await operator.children(zk.paths.elections)).toEqual([]);
    }
  });

  test("whose reply is lost may be repeated", async () => {
    const zk = store();
    const { proxy, url } = await proxied();
    const [a, b] = [await zk.open({ url }), await zk.open()];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    await claim(b.session, second);
    proxy.cutAfter(1);
    await expect(a.session.release([first], call())).rejects.toThrow(/No connection/);
    await b.heard.next("hint a");
    const token = await granted(b.session, second);
    await a.session.release([first], call());
    expect(await b.adapter.read("a", call())).toMatchObject({ token });
  });
});
