import { describe, expect, test } from "vitest";
import { call, candidate, eventually, pass, sharedStore, tokenOf } from "./support.ts";

const at = await sharedStore();

describe("waking", () => {
  test("one waiter is woken for one release: the oldest", async () => {
    const a = await candidate(at.url);
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    const waiters = [await candidate(at.url), await candidate(at.url), await candidate(at.url)];
    for (const waiter of waiters) await waiter.claim(waiter.bid("x"));
    await a.session.release([bid], call());
    await waiters[0]!.heard.next("hint x");
    await pass(50);
    expect(waiters.map(({ heard }) => heard.all)).toEqual([[], [], []]);
  });

  test("a woken waiter that leaves passes it on", async () => {
    const [a, b, c] = [await candidate(at.url), await candidate(at.url), await candidate(at.url)];
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
    const [dead, c] = [await candidate(at.url), await candidate(at.url)];
    const short = 1500;
    const a = await candidate(at.url, { ttl: short });
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
    const [b, a] = [await candidate(at.url), await candidate(at.url, { ttl: 1500 })];
    tokenOf(await a.claim(a.bid("x")));
    a.session.abandon();
    const bid = b.bid("x");
    const answer = await b.claim(bid);
    if (answer.kind !== "held") throw new Error("not held");
    await pass((answer.retryInMs ?? 0) + 1);
    tokenOf(await b.claim(bid));
  });

  test("a watcher hears of every change", async () => {
    const [a, b] = [await candidate(at.url), await candidate(at.url)];
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
