/**
 * What a server forgets, or loses to somebody: memory, keys, the time. What is left of a lease then, and who may lead next.
 */

import { ElectError, type ClaimRequest } from "@elect/core/adapter";
import { describe, expect, test } from "vitest";
import {
  call,
  candidate,
  eventually,
  maxTtl,
  nonce,
  ownServer,
  pass,
  plain,
  sharedStore,
  tokenOf,
  type Candidate,
} from "./support.ts";

const at = await sharedStore();

test("RD-1 its clock was set back: a dead leader is taken over after its TTL all the same", async () => {
  // What a step back leaves behind: more time to live than was ever granted.
  const [b, a] = [await candidate(at.url), await candidate(at.url, { ttl: 1500 })];
  tokenOf(await a.claim(a.bid("x")));
  await plain(at.server.port).pexpire(`${at.records}:s:${a.session.id}`, 3_600_000);
  const answer = await b.claim(b.bid("x"));
  if (answer.kind !== "held") throw new Error("not held");
  expect(answer.retryInMs).toBeLessThanOrEqual(1501);
  await pass(1510);
  tokenOf(await b.claim(b.bid("x")));
});

test("RD-1 its clock was set forward: the leader hears of it with its next proof", async () => {
  const a = await candidate(at.url);
  tokenOf(await a.claim(a.bid("x")));
  await plain(at.server.port).pexpireat(`${at.records}:s:${a.session.id}`, 1);
  expect(await a.prove()).toMatchObject({ kind: "dead" });
});

test.each(["allkeys-lru", "volatile-ttl"])(
  "RD-5 eviction by %s: warned of, refused on request, and noticed by the proof",
  async (policy) => {
    const own = await ownServer({
      args: ["--maxmemory", "3mb", "--maxmemory-policy", policy],
      appendonly: "always",
    });
    await expect(candidate(at.on(own, "required"))).rejects.toMatchObject({ refusal: "durability" });
    const a = await candidate(at.on(own));
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    const observer = await candidate(at.on(own, "observed"));
    expect(observer.session.warnings.join("\n")).toContain(policy);
    const store = plain(own.port);
    // Under volatile-ttl nothing else can be evicted: then the rest of these does not fit.
    const fill = "for i = 1, 500 do redis.call('SET', KEYS[1] .. i, string.rep('x', 1000)) end";
    await eventually("something of ours is evicted", async () => {
      await store.eval(fill, 1, `fill:${nonce()}:`).catch(() => {});
      return (await store.exists(at.records, `${at.records}:s:${a.session.id}`)) < 2;
    });
    const proof = await a.prove(bid);
    expect(proof.kind === "dead" ? proof.reason : proof.lost[0]?.election).toMatch(/its key was deleted|^x$/);
  },
);

test("RD-5 FLUSHALL: the leader is told by its next proof, and the next token is greater", async () => {
  const own = await ownServer({ appendonly: "always" });
  const [a, b] = [await candidate(at.on(own)), await candidate(at.on(own))];
  const token = tokenOf(await a.claim(a.bid("x")));
  await plain(own.port).flushall();
  expect(await a.prove()).toMatchObject({ kind: "dead" });
  expect(await b.prove()).toMatchObject({ kind: "dead" });
  const c = await candidate(at.on(own));
  expect(tokenOf(await c.claim(c.bid("x")))).toBeGreaterThan(token);
});

test("RD-6 restarted without its memory: nobody is elected before every forgotten lease is over", async () => {
  const own = await ownServer();
  const cap = 2000;
  const forgetful = `${own.url}?namespace=${at.name}&maxTtl=${cap}`;
  const a = await candidate(forgetful, { ttl: cap });
  expect(await a.claim(a.bid("x"))).toMatchObject({ kind: "held", by: null });
  expect(a.session.warnings.join("\n")).toMatch(/may have forgotten who leads/);
  await own.kill();
  const died = performance.now();
  await own.restart();
  expect(await a.prove()).toMatchObject({ kind: "dead" });
  const b = await candidate(forgetful, { ttl: cap });
  await sometime(b, b.bid("x"));
  expect(performance.now() - died).toBeGreaterThan(cap);
  expect((await candidate(forgetful, { ttl: cap })).session.warnings.join("\n")).not.toMatch(
    /may have forgotten/,
  );
}, 30_000);

describe("RD-6 appendfsync always", () => {
  const cap = 2000;

  /** A server on which somebody leads. As it is new, that took a while. */
  async function led(appendonly: "always" | "no", args: readonly string[] = []) {
    const own = await ownServer({ appendonly, args });
    const url = `${own.url}?namespace=${at.name}&maxTtl=${cap}`;
    const a = await candidate(url, { ttl: cap });
    const bid = a.bid("x", "a");
    const token = await sometime(a, bid);
    expect(await a.prove(bid)).toMatchObject({ kind: "alive" });
    return { own, url, a, bid, token };
  }

  test("still reading its log, it says that it has none: it is waited for, and neither refused nor distrusted", async () => {
    const { own, url } = await led("always", ["--key-load-delay", "200"]);
    const fill = "for i = 1, 5000 do redis.call('SET', KEYS[1] .. i, '') end";
    await plain(own.port).eval(fill, 1, "fill:");
    await own.kill();
    const restarted = own.restart();
    const failures: Error[] = [];
    const open = async (): Promise<Candidate | null> =>
      candidate(`${url}&durability=required`, { ttl: cap }).catch((error: Error) => {
        if (error instanceof ElectError) throw error;
        failures.push(error);
        return null;
      });
    let back = await open();
    for (; back === null; back = await open()) await pass(20);
    await restarted;
    expect(failures.map(String).join("\n")).toMatch(/still loading/);
    expect(back.session.warnings).toEqual([]);
    tokenOf(await back.claim(back.bid("y")));
  });

  test("restarted: the leader goes on, and others are elected at once", async () => {
    const { own, url, a, bid, token } = await led("always");
    expect(await plain(own.port).hget(at.records, "log")).toBe("always");
    await own.restart();
    const b = await candidate(url, { ttl: cap });
    expect(b.session.warnings).toEqual([]);
    expect(tokenOf(await b.claim(b.bid("y")))).toBeGreaterThan(token);
    const proof = await a.prove(bid);
    // Its lease ran on while the server was away.
    expect(proof.kind === "alive" || proof.reason.includes("lease ran out")).toBe(true);
  });

  test.each([
    ["its disk did not survive with it", "always", "nothing"],
    ["it was only switched on by this restart", "no", "nothing"],
    ["it was only switched on by this restart, over an old snapshot", "no", "snapshot"],
  ] as const)("%s: nobody is elected before every forgotten lease is over", async (_, before, left) => {
    const { own, url, a } = await led(before);
    if (left === "snapshot") await plain(own.port).save();
    const bid = a.bid("later", "a");
    tokenOf(await a.claim(bid));
    const proven = performance.now();
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    if (before === "always") await own.exec("sh", "-c", "rm -r /data/appendonlydir || rm -r /appendonlydir");
    await own.restart();
    if (before === "no") await plain(own.port).config("SET", "appendonly", "yes", "appendfsync", "always");
    const b = await candidate(url, { ttl: cap });
    const next = b.bid("later", "b");
    expect(await b.claim(next)).toMatchObject({ kind: "held", by: null });
    await sometime(b, next);
    expect(performance.now() - proven).toBeGreaterThan(cap);
  });
}, 30_000);

test("RD-6 restarted with older memory: leaders ride on, what is gone is reported, what is back is let go, nobody new leads", async () => {
  const own = await ownServer();
  const long = {
    client: plain(own.port),
    namespace: at.name,
    maxTtl: 20_000,
    durability: "assumed",
  } as const;
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
  expect(await store.hget(at.records, "r:moved")).toMatch(new RegExp(`^${a.session.id}`));
  expect(await a.prove(kept)).toMatchObject({ kind: "alive", lost: [] });
  expect(await store.hget(at.records, "r:moved")).toBeNull();
  const c = await candidate({ ...long, durability: "observed" });
  await store.hdel(at.records, "server");
  expect(await c.claim(c.bid("moved"))).toMatchObject({ kind: "held", by: null });
}, 20_000);

test("a fresh server that the operator vouches for elects at once", async () => {
  const own = await ownServer();
  const a = await candidate(at.on(own));
  tokenOf(await a.claim(a.bid("x")));
  expect(a.session.warnings).toEqual([]);
  await expect(candidate(at.on(own, "required"))).rejects.toMatchObject({ refusal: "durability" });
  const strict = await candidate(at.on(await ownServer({ appendonly: "always" }), "required"));
  expect(strict.session.warnings).toEqual([expect.stringMatching(/may have forgotten/)]);
  const everysec = await candidate(at.on(await ownServer({ appendonly: "everysec" }), "observed"));
  expect(everysec.session.warnings.join("\n")).toMatch(/appendfsync is everysec/);
  expect(await everysec.claim(everysec.bid("x"))).toMatchObject({ kind: "held", by: null });
});

test("RD-8 a promoted server elects nobody new for maxTtl: it may lack what its master acknowledged", async () => {
  const own = await ownServer({ appendonly: "always" });
  const a = await candidate(at.on(own));
  const bid = a.bid("x");
  tokenOf(await a.claim(bid));
  const store = plain(own.port);
  await store.replicaof("127.0.0.1", "1");
  await store.replicaof("NO", "ONE");
  const b = await candidate(at.on(own, "observed"));
  expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
  const answer = await b.claim(b.bid("y"));
  expect(answer).toMatchObject({ kind: "held", by: null });
  expect(answer.kind === "held" && answer.retryInMs! > maxTtl / 2).toBe(true);
});

test("a maxTtl that differs between processes is reported, and the longer one counts", async () => {
  const a = await candidate(at.url);
  const b = await candidate(at.url.replace(`maxTtl=${maxTtl}`, "maxTtl=20000"));
  expect([a, b].map(({ session }) => session.warnings.some((text) => text.includes("maxTtl is")))).toEqual([
    false,
    false,
  ]);
  const c = await candidate(at.url);
  expect(c.session.warnings.join("\n")).toMatch(/maxTtl is 10000 ms here and was 20000 ms/);
});

/** Claims, and stays alive, until it is granted. */
async function sometime(who: Candidate, bid: ClaimRequest): Promise<bigint> {
  for (;;) {
    const answer = await who.claim(bid);
    if (answer.kind !== "held") return tokenOf(answer);
    await pass(Math.min(answer.retryInMs ?? 100, 200));
    await who.prove();
  }
}
