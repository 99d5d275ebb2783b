/** What else a server does to its clients: it refuses, stalls, changes its role, its settings or their rights. */

import { createServer } from "node:net";
import { RefusedError } from "@elect/core/adapter";
import { expect, onTestFinished, test } from "vitest";
import { RedisAdapter } from "../src/adapter.ts";
import { explain } from "../src/errors.ts";
import {
  call,
  candidate,
  eventually,
  Heard,
  maxTtl,
  nonce,
  ownServer,
  pass,
  plain,
  privileges,
  sharedStore,
  tokenOf,
} from "./support.ts";

const at = await sharedStore();

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
  const b = await candidate(at.on(own));
  const a = await candidate(at.on(own), { ttl: 1500 });
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
  const a = await candidate(at.on(own));
  await plain(own.port).script("FLUSH");
  tokenOf(await a.claim(a.bid("x")));
  await plain(own.port).script("FLUSH");
  expect(await a.prove()).toMatchObject({ kind: "alive" });
});

test("A5.1 failover, RD-8 RD-12: BUSY, OOM, NOREPLICAS and READONLY are unknown: the session rides them out", async () => {
  const own = await ownServer({ appendonly: "always", args: ["--busy-reply-threshold", "50"] });
  const a = await candidate(at.on(own), { ttl: maxTtl });
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
  const [b, given] = [await candidate(at.on(own)), a.bid("given")];
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

test("a replica is refused at once", async () => {
  const own = await ownServer();
  await plain(own.port).replicaof("127.0.0.1", "1");
  await expect(candidate(at.on(own))).rejects.toMatchObject({ refusal: "standby" });
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
  await store.call("ACL", ["SETUSER", "elect", "on", ">s3cret/", ...privileges(at.name)]);
  const asUser = at.on(own).replace("redis://", "redis://elect:s3cret%2F@");
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
  await store.hdel(at.records, "incarnation");
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
    await store.call("ACL", ["SETUSER", "elect", ...privileges(at.name), ...fewer]);
    await store.script("FLUSH");
    const c = candidate(asUser).then(async (session) => session.prove());
    await expect(c).rejects.toMatchObject({ refusal: "permission" });
  }
});

test("G-25 wrong and revoked credentials are refused by type, and never shown", async () => {
  const own = await ownServer({ appendonly: "always" });
  const store = plain(own.port);
  await store.call("ACL", ["SETUSER", "elect", "on", ">s3cret", ...privileges(at.name)]);
  const url = at.on(own).replace("redis://", "redis://elect:s3cret@");
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
  const bare = plain(at.server.port, { db: 9999 });
  const errors: Error[] = [];
  bare.on("error", (error) => errors.push(error));
  expect(await bare.ping()).toBe("PONG");
  expect(errors.map(String).join()).toMatch(/out of range/);
  await expect(candidate(at.url.replace("?", "/9999?"))).rejects.toMatchObject({ refusal: "database" });
});

test("RD-16 a key of another type is refused by type", async () => {
  await plain(at.server.port).set(at.records, "theirs");
  await expect(candidate(at.url)).rejects.toMatchObject({ refusal: "wrong-type" });
  await plain(at.server.port).del(at.records);
});

test("G-21 a server that is not there: rejected at once, with the reason", async () => {
  await expect(candidate("redis://127.0.0.1:1")).rejects.toThrow(/ECONNREFUSED/);
});
