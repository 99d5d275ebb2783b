/**
 * What a server can do to its clients: forget, refuse, stall, change its role, its settings or its rights.
 */

import { createServer } from "node:net";
import { RefusedError, type ClaimRequest } from "@elect/core/adapter";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { RedisAdapter } from "../src/adapter.ts";
import { explain } from "../src/errors.ts";
import type { Durability } from "../src/options.ts";
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
  sharedServer,
  tokenOf,
  type Candidate,
} from "./support.ts";

const server = await sharedServer();
let name: string;
let records: string;
let url: string;
const on = ({ url: own }: { url: string }, durability: Durability = "assumed"): string =>
  `${own}?namespace=${name}&maxTtl=${maxTtl}&durability=${durability}`;

beforeEach(() => {
  name = namespace();
  records = `elect:{${name}}`;
  url = `${server.url}?namespace=${name}&maxTtl=${maxTtl}&durability=assumed`;
});

test("RD-1 its clock was set back: a dead leader is taken over after its TTL all the same", async () => {
  // What a step back leaves behind: more time to live than was ever granted.
  const [b, a] = [await candidate(url), await candidate(url, { ttl: 1500 })];
  tokenOf(await a.claim(a.bid("x")));
  await plain(server.port).pexpire(`${records}:s:${a.session.id}`, 3_600_000);
  const answer = await b.claim(b.bid("x"));
  if (answer.kind !== "held") throw new Error("not held");
  expect(answer.retryInMs).toBeLessThanOrEqual(1501);
  await pass(1510);
  tokenOf(await b.claim(b.bid("x")));
});

test("RD-1 its clock was set forward: the leader hears of it with its next proof", async () => {
  const a = await candidate(url);
  tokenOf(await a.claim(a.bid("x")));
  await plain(server.port).pexpireat(`${records}:s:${a.session.id}`, 1);
  expect(await a.prove()).toMatchObject({ kind: "dead" });
});

test.each(["allkeys-lru", "volatile-ttl"])(
  "RD-5 eviction by %s: warned of, refused on request, and noticed by the proof",
  async (policy) => {
    const own = await ownServer({
      args: ["--maxmemory", "3mb", "--maxmemory-policy", policy],
      appendonly: "always",
    });
    await expect(candidate(on(own, "required"))).rejects.toMatchObject({ refusal: "durability" });
    const a = await candidate(on(own));
    const bid = a.bid("x");
    tokenOf(await a.claim(bid));
    const observer = await candidate(on(own, "observed"));
    expect(observer.session.warnings.join("\n")).toContain(policy);
    const store = plain(own.port);
    // Under volatile-ttl nothing else can be evicted: then the rest of these does not fit.
    const fill = "for i = 1, 500 do redis.call('SET', KEYS[1] .. i, string.rep('x', 1000)) end";
    await eventually("something of ours is evicted", async () => {
      await store.eval(fill, 1, `fill:${nonce()}:`).catch(() => {});
      return (await store.exists(records, `${records}:s:${a.session.id}`)) < 2;
    });
    const proof = await a.prove(bid);
    expect(proof.kind === "dead" ? proof.reason : proof.lost[0]?.election).toMatch(/its key was deleted|^x$/);
  },
);

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
  const cap = 2000;
  const forgetful = `${own.url}?namespace=${name}&maxTtl=${cap}`;
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
  async function led(appendonly: "always" | "no") {
    const own = await ownServer({ appendonly });
    const url = `${own.url}?namespace=${name}&maxTtl=${cap}`;
    const a = await candidate(url, { ttl: cap });
    const bid = a.bid("x", "a");
    const token = await sometime(a, bid);
    expect(await a.prove(bid)).toMatchObject({ kind: "alive" });
    return { own, url, a, bid, token };
  }

  test("restarted: the leader goes on, and others are elected at once", async () => {
    const { own, url, a, bid, token } = await led("always");
    expect(await plain(own.port).hget(records, "log")).toBe("always");
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
  const a = await candidate(on(own));
  tokenOf(await a.claim(a.bid("x")));
  expect(a.session.warnings).toEqual([]);
  await expect(candidate(on(own, "required"))).rejects.toMatchObject({ refusal: "durability" });
  const strict = await candidate(on(await ownServer({ appendonly: "always" }), "required"));
  expect(strict.session.warnings).toEqual([expect.stringMatching(/may have forgotten/)]);
  const everysec = await candidate(on(await ownServer({ appendonly: "everysec" }), "observed"));
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
  const b = await candidate(on(own));
  const a = await candidate(on(own), { ttl: 1500 });
  await a.prove();
  tokenOf(await a.claim(a.bid("x")));
  const bid = b.bid("x");
  await a.prove();
  a.session.abandon();
  const answer = await b.claim(bid);
  if (answer.kind !== "held" || answer.retryInMs === null) throw new Error("not held");
  expect(answer.retryInMs).toBeLessThanOrEqual(1501);
  // The server deletes expired keys at its leisure; whoever claims does not wait for that.
  await pass(answer.retryInMs);
  tokenOf(await b.claim(bid));
});

test("RD-12 SCRIPT FLUSH: the scripts are sent again", async () => {
  const own = await ownServer({ appendonly: "always" });
  const a = await candidate(on(own));
  await plain(own.port).script("FLUSH");
  tokenOf(await a.claim(a.bid("x")));
  await plain(own.port).script("FLUSH");
  expect(await a.prove()).toMatchObject({ kind: "alive" });
});

test("A5.1 failover, RD-8 RD-12: BUSY, OOM, NOREPLICAS and READONLY are unknown: the session rides them out", async () => {
  const own = await ownServer({ appendonly: "always", args: ["--busy-reply-threshold", "50"] });
  const a = await candidate(on(own), { ttl: maxTtl });
  const bid = a.bid("x");
  tokenOf(await a.claim(bid));
  const store = plain(own.port);
  const problem = async (): Promise<unknown> => a.prove(bid).catch((error: unknown) => error);

  await store.ping(); // A busy server would refuse it at its first word.
  const endless = plain(own.port)
    .eval("while true do end", 0)
    .catch(() => {});
  let busy: unknown;
  await eventually("the server is busy", async () => String((busy = await problem())).includes("BUSY"));
  await store.script("KILL");
  await endless;

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
  const a = await candidate(on(own));
  const bid = a.bid("x");
  tokenOf(await a.claim(bid));
  const store = plain(own.port);
  await store.replicaof("127.0.0.1", "1");
  await store.replicaof("NO", "ONE");
  const b = await candidate(on(own, "observed"));
  expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
  const answer = await b.claim(b.bid("y"));
  expect(answer).toMatchObject({ kind: "held", by: null });
  expect(answer.kind === "held" && answer.retryInMs! > maxTtl / 2).toBe(true);
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
  const b = await candidate(url.replace(`maxTtl=${maxTtl}`, "maxTtl=20000"));
  expect([a, b].map(({ session }) => session.warnings.some((text) => text.includes("maxTtl is")))).toEqual([
    false,
    false,
  ]);
  const c = await candidate(url);
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
