/**
 * What `etcd3` and etcd do that an election must not suffer from; the numbers are those of the hazard list. Each is
 * shown first, with the driver as it comes or with the server by itself, and then with the adapter.
 */

import { execFile } from "node:child_process";
import { createServer, connect, type Socket } from "node:net";
import { promisify } from "node:util";
import { EtcdLeaseInvalidError } from "etcd3";
import { describe, expect, onTestFinished, test } from "vitest";
import { guardedTxn } from "../src/index.ts";
import { markOf } from "../src/keys.ts";
import {
  bid,
  call,
  eventually,
  leaseOf,
  nonce,
  ownServer,
  pass,
  plain,
  proxyTo,
  store,
  target,
  tokenOf,
} from "./support.ts";

const run = promisify(execFile);

describe("etcd3's own ways", () => {
  test("A5.3 ambiguous writes: by default it repeats a transaction whose reply was lost, and our own win reads as a loss", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const retrying = plain(proxy.port);
    const key = etcd.keys.leader("by-hand");
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("by-hand"), "cut-after");
    const { succeeded } = await retrying
      .if(key, "Create", "==", 0)
      .then(retrying.put(key).value("me"))
      .commit();
    expect(succeeded, "it says that another won").toBe(false);
    expect(await etcd.etcd.get(key), "and it was us").toBe("me");

    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("by-adapter"), "cut-after");
    const request = bid("by-adapter");
    expect(await a.claim(request), "sent once, and open").toMatchObject({ kind: "unknown" });
    tokenOf(await a.claim(request));
  });

  test("A5.3 deadlines: it has none; ours ends the call and the connection", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const patient = plain(proxy.port);
    await patient.get("a");
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    proxy.silence();
    const forEver = patient.get("a").string();
    forEver.catch(() => {});
    await expect(a.session.prove(new Map(), call(200))).rejects.toThrow(/aborted due to timeout/);
    expect(await Promise.race([forEver, pass(500).then(() => "still waiting")])).toBe("still waiting");
    proxy.heal();
  });

  test("A5.3 half-open streams: a dead link leaves no socket behind, however often it is tried", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    const sockets = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
    // A proxied connection is two sockets in this process, and the client's is one.
    const own = () => sockets() - proxy.connections.length * 2;
    const before = own();
    proxy.silence();
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await expect(a.session.prove(new Map(), call(100))).rejects.toThrow(/etcd at/);
    }
    // The driver tries on for a second.
    await pass(1_200);
    expect(own()).toBeLessThanOrEqual(before);
    proxy.heal();
    expect(await a.prove()).toMatchObject({ kind: "alive" });
  });

  test("A5.3 errors: a connection that is reset while it is given up does not end the process", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    proxy.silence();
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await expect(a.session.prove(new Map(), call(50))).rejects.toThrow(/etcd at/);
      proxy.reset();
    }
    await pass(1_200);
    proxy.heal();
    expect(await a.prove()).toMatchObject({ kind: "alive" });
  });

  test("A5.3 circuit breaker: however often it failed, the first proof after the outage is made", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const breaking = plain(proxy.port);
    await breaking.get("a");
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    proxy.refuse();
    for (let attempt = 0; attempt < 4; attempt += 1) {
      await expect(breaking.get("a")).rejects.toThrow(/./);
      await expect(a.prove()).rejects.toThrow(/etcd at 127/);
    }
    proxy.heal();
    await expect(breaking.get("a"), "its breaker is open for 5 s").rejects.toThrow(/./);
    expect(await a.prove()).toMatchObject({ kind: "alive" });
  });

  test("A5.3 close: it leaves streams and leases alive; ours lets the process end by itself", async () => {
    const etcd = store();
    const program = new URL("programs/leave.ts", import.meta.url).pathname;
    const silent = createServer((socket) => socket.on("error", () => {}));
    await new Promise<void>((listening) => silent.listen(0, "127.0.0.1", listening));
    onTestFinished(() => void silent.close());
    const { port } = silent.address() as { port: number };
    const left = (hosts: string, how: string) =>
      run(process.execPath, ["--conditions=@elect/source", program, hosts, etcd.namespace, how], {
        timeout: 8_000,
      });
    const ends = await Promise.all([
      left(`127.0.0.1:${target.port}`, "end"),
      left(`127.0.0.1:${port}`, "unreachable"),
    ]);
    expect(ends.map(({ stdout, stderr }) => stdout + stderr)).toEqual(["closed\n", "closed\n"]);
    expect(await etcd.kept("a"), "revoked").toEqual([]);
    expect(await left(`127.0.0.1:${target.port}`, "abandon")).toEqual({ stdout: "closed\n", stderr: "" });
    expect(await etcd.kept("a"), "left to run out").toHaveLength(2);
  });

  test("A5.3 watch: an error of its own ends the process unless heard; ours has no such thing to forget", async () => {
    const etcd = store();
    const [a, b] = [await etcd.process(), await etcd.process()];
    const request = bid("a");
    tokenOf(await a.claim(bid("a")));
    await b.claim(request);
    const { header } = await etcd.etcd.put(`${etcd.namespace}/x`).value("").exec();
    await etcd.etcd.kv.compact({ revision: header.revision, physical: true });
    const watcher = await etcd.etcd.watch().key(etcd.keys.leader("a")).startRevision("1").create();
    expect(await new Promise((heard) => watcher.once("error", heard))).toBeInstanceOf(Error);
    expect(await b.prove()).toMatchObject({ kind: "alive" });
    expect(b.heard.all).toEqual([]);
  });

  test("A5.3 token: revisions past 2⁵³ stay exact", async () => {
    const { leaderOf } = await import("../src/keys.ts");
    const record = { key: Buffer.from("k"), value: Buffer.from("aa.bb\nid\nnull"), lease: "1" };
    expect(
      leaderOf({ ...record, create_revision: "9007199254740993", mod_revision: "9007199254740993" }),
    ).toEqual({
      ...{ mark: "aa.bb", id: "id", metadata: "null" },
      token: 9_007_199_254_740_993n,
    });
  });

  test("A5.3 a client of the user's: its configuration is copied, its connection is not used", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const client = plain(proxy.port);
    await client.get("a");
    const a = await etcd.process({ client });
    expect(proxy.opened).toBe(2);
    client.close();
    expect(await a.prove()).toMatchObject({ kind: "alive" });
    await a.session.end(call());
  });
});

describe("leases", () => {
  test("ET-1: a silent leader's key outlives every proof that was acknowledged, and goes within TTL + 1 s", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const [a, b] = [
      await etcd.process({ hosts: `127.0.0.1:${proxy.port}`, ttlMs: 2_000 }),
      await etcd.process(),
    ];
    const [first, second] = [bid("a"), bid("a")];
    tokenOf(await a.claim(first));
    expect(await b.claim(second)).toMatchObject({ kind: "held" });
    const sentAt = performance.now();
    expect(await a.prove(first)).toMatchObject({ kind: "alive", ttlMs: 2_000 });
    proxy.silence();
    const proving = (async () => {
      for (let attempt = 0; attempt < 4; attempt += 1) {
        await expect(a.session.prove(new Map(), call(300)), "no proof without an answer").rejects.toThrow(
          /etcd at/,
        );
      }
    })();
    await b.heard.next("hint a");
    const after = performance.now() - sentAt;
    expect(after).toBeGreaterThan(2_000);
    expect(after).toBeLessThan(3_000 + 300);
    tokenOf(await b.claim(second));
    await proving;
    proxy.heal();
    await eventually("a learns it", async () => (await a.prove().catch(() => null))?.kind === "dead");
    expect(a.heard.all.join()).not.toContain("lost");
  });

  test("ET-2: a TTL of 1 s is granted as 2, and what is granted counts", async () => {
    const etcd = store();
    const a = await etcd.process({ ttlMs: 1_000 });
    expect(a.session.ttlMs).toBe(2_000);
    expect(await a.prove()).toMatchObject({ ttlMs: 2_000 });
  });

  test("ET-3: one whose lease ended while it waited wins nothing when the leader goes", async () => {
    const etcd = store();
    const [a, b] = [await etcd.process(), await etcd.process()];
    const [first, second] = [bid("a"), bid("a")];
    tokenOf(await a.claim(first));
    await b.claim(second);
    await etcd.etcd.leaseClient.leaseRevoke({ ID: leaseOf(b) });
    await a.session.release([first], call());
    expect(await b.claim(second)).toMatchObject({ kind: "unknown" });
    await b.heard.next("ended");
    expect(await b.adapter.read("a", call())).toBeNull();
    expect(await b.prove()).toMatchObject({ kind: "dead" });
  });

  test("ET-5: a server that was frozen for more than the TTL says in the next proof what became of the session", async () => {
    const { server, hosts } = await ownServer();
    const etcd = store(hosts);
    const a = await etcd.process({ ttlMs: 2_000 });
    const request = bid("a");
    tokenOf(await a.claim(request));
    await server.pause();
    await expect(a.session.prove(new Map(), call(300))).rejects.toThrow(/etcd at/);
    await pass(2_200);
    await server.unpause();
    // It may live: the server's clock of leases is its own. What is said is what the log says.
    const proof = await a.prove(request);
    const leader = await a.adapter.read("a", call());
    expect(proof.kind === "alive").toBe(leader !== null);
  });

  test("ET-6: a lease revoked by an operator ends the session, by push and by the next proof", async () => {
    const etcd = store();
    const a = await etcd.process();
    tokenOf(await a.claim(bid("a")));
    await etcd.etcd.leaseClient.leaseRevoke({ ID: leaseOf(a) });
    await a.heard.next("ended");
    await expect(etcd.etcd.leaseClient.leaseRevoke({ ID: leaseOf(a) })).rejects.toThrow(
      EtcdLeaseInvalidError,
    );
    expect(await a.prove()).toMatchObject({ kind: "dead" });
  });

  test("ET-6: a key overwritten without a lease would lead for ever: its holder is told, and the next one leads", async () => {
    const etcd = store();
    const [a, b] = [await etcd.process(), await etcd.process()];
    const [first, second] = [bid("a"), bid("a")];
    const token = tokenOf(await a.claim(first));
    await b.claim(second);
    await etcd.etcd.put(etcd.keys.leader("a")).value("mine, says an operator");
    expect(await a.prove(first)).toMatchObject({ kind: "alive", lost: [{ election: "a" }] });
    expect(await a.heard.next("lost a")).toContain("overwritten");
    const kept = await etcd.etcd.get(etcd.keys.leader("a")).exec();
    expect(kept.kvs[0], "a check of its create revision would not have seen it").toMatchObject({
      create_revision: String(token),
      lease: "0",
    });
    await a.session.release([first], call());
    await b.heard.next("hint a");
    expect(tokenOf(await b.claim(second))).toBeGreaterThan(token);
  });
});

describe("watches", () => {
  test("ET-7: whoever waits from a revision that was compacted away is woken after a reconnect", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const [a, b] = [await etcd.process(), await etcd.process({ hosts: `127.0.0.1:${proxy.port}` })];
    const [first, second] = [bid("a"), bid("a")];
    tokenOf(await a.claim(first));
    await b.claim(second);
    proxy.refuse();
    await b.heard.next("doubt");
    await a.session.release([first], call());
    const { header } = await etcd.etcd.put(`${etcd.namespace}/x`).value("").exec();
    await etcd.etcd.kv.compact({ revision: header.revision, physical: true });
    proxy.heal();
    expect(await b.prove()).toMatchObject({ kind: "alive" });
    await b.heard.next("hint a");
    tokenOf(await b.claim(second));
  });

  test("ET-7: whoever leads from a revision that was compacted away goes on, and is still watched", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    const request = bid("a");
    tokenOf(await a.claim(request));
    const { header } = await etcd.etcd.put(`${etcd.namespace}/x`).value("").exec();
    await etcd.etcd.kv.compact({ revision: header.revision, physical: true });
    proxy.reset();
    await a.heard.next("doubt");
    expect(await a.prove(request)).toMatchObject({ kind: "alive", lost: [] });
    await etcd.etcd.delete().key(etcd.keys.leader("a"));
    await a.heard.next("lost a");
  });

  test("ET-8: what happens while the stream of watches is cut is heard when it is back", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const [a, b] = [await etcd.process(), await etcd.process({ hosts: `127.0.0.1:${proxy.port}` })];
    const requests = [bid("a"), bid("b")];
    const seconds = [bid("a"), bid("b"), bid("c")];
    await a.session.claim(requests, call());
    await b.session.claim(seconds, call());
    proxy.refuse();
    await b.heard.next("doubt");
    await a.session.release(requests, call());
    await etcd.etcd.delete().key(etcd.keys.leader("c"));
    proxy.heal();
    await b.prove();
    await Promise.all([b.heard.next("hint a"), b.heard.next("hint b"), b.heard.next("lost c")]);
    expect(b.heard.all).toEqual([]);
  });

  test("ET-10: a hand-over among 100 candidates wakes one", async () => {
    const etcd = store();
    const leader = await etcd.process();
    const others = await Promise.all(Array.from({ length: 5 }, () => etcd.process()));
    const first = bid("a");
    tokenOf(await leader.claim(first));
    const waiting = [];
    for (let index = 0; index < 100; index += 1) {
      const { session } = others[index % others.length]!;
      const request = bid("a", nonce(), `c${index}`);
      await session.claim([request], call());
      waiting.push({ session, request });
    }
    await leader.session.release([first], call());
    await others[0]!.heard.next("hint a");
    tokenOf((await waiting[0]!.session.claim([waiting[0]!.request], call()))[0]);
    // A second hand-over comes after all the wake-ups of the first.
    await waiting[0]!.session.release([waiting[0]!.request], call());
    await others[1]!.heard.next("hint a");
    expect(others.flatMap(({ heard }) => heard.all)).toEqual([]);
  });

  test("an observer on a link that breaks is told, and goes on watching", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const a = await etcd.process();
    const observer = etcd.adapter({ hosts: `127.0.0.1:${proxy.port}` });
    let told = 0;
    await observer.watch("a", () => (told += 1), call());
    await eventually("the watch is there", () => told === 1);
    proxy.refuse();
    await eventually("told of the break", () => told === 2);
    tokenOf(await a.claim(bid("a")));
    proxy.heal();
    expect(await observer.read("a", call())).not.toBeNull();
    await eventually("watching again", () => told === 3);
    await a.session.end(call());
    await eventually("told of the change", () => told === 4);
  });

  test("ET-15: no HTTP/2 ping is sent, so that none is one too many", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const types = new Set<number>();
    proxy.observe(({ direction, bytes }) => {
      if (direction === "up") for (const type of frameTypes(bytes)) types.add(type);
    });
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    for (let proofs = 0; proofs < 200; proofs += 1) await a.prove();
    expect(types.has(0) && types.has(1), "DATA and HEADERS").toBe(true);
    expect(types.has(6), "PING").toBe(false);
    expect(proxy.opened, "and no GOAWAY came").toBe(1);
  });
});

describe("authentication", () => {
  async function guarded(ttlSeconds: number) {
    const own = await ownServer(["--auth-token=simple", `--auth-token-ttl=${ttlSeconds}`]);
    const root = { username: "root", password: "of-all-evil" };
    await own.client.role("root").create();
    await own.client.user("root").create(root.password);
    await own.client.user("root").addRole("root");
    const role = await own.client.role("elections").create();
    await role.grant({ permission: "Readwrite", range: own.client.range({ prefix: "elect-test-" }) });
    for (const [name, roles] of [
      ["alice", ["elections"]],
      ["mallory", []],
    ] as const) {
      const user = await own.client.user(name).create("sesame");
      for (const given of roles) await user.addRole(given);
    }
    await own.client.auth.authEnable();
    return { ...own, etcd: store(own.hosts, { auth: root }) };
  }

  test("ET-11: a token that runs out is renewed within the call, and watches go on with the new one", async () => {
    const { etcd } = await guarded(1);
    const alice = { username: "alice", password: "sesame" };
    const [a, b] = [await etcd.process(alice), await etcd.process(alice)];
    const [first, second] = [bid("a"), bid("a")];
    tokenOf(await a.claim(first));
    await pass(2_500);
    expect(await a.prove(first), "with a stale token").toMatchObject({ kind: "alive", lost: [] });
    expect(await b.claim(second)).toMatchObject({ kind: "held" });
    expect(await b.prove()).toMatchObject({ kind: "alive" });
    await a.session.release([first], call());
    await b.heard.next("hint a");
    tokenOf(await b.claim(second));
  });

  test("ET-11, G-25: a missing right, a wrong password and no password are refused with what to do", async () => {
    const { etcd } = await guarded(300);
    const refusal = async (options: object) => {
      const failure: unknown = await etcd.process(options).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: "ELECT_REFUSED" });
      expect(String(failure)).not.toContain("sesame");
      return String(failure);
    };
    expect(await refusal({ username: "mallory", password: "sesame" })).toMatch(
      /permission denied.*readwrite/,
    );
    expect(await refusal({ username: "alice", password: "sesame2" })).toMatch(
      /authentication failed.*password/,
    );
    expect(await refusal({})).toMatch(/user name is empty.*password/);
  });

  test("ET-11: a right that is withdrawn refuses proofs; a new list of users does not", async () => {
    const { etcd } = await guarded(300);
    const a = await etcd.process({ username: "alice", password: "sesame" });
    await etcd.etcd.user("bob").create("sesame");
    expect(await a.prove(), "the auth store's revision has moved").toMatchObject({ kind: "alive" });
    await etcd.etcd.user("alice").removeRole("elections");
    await expect(a.prove()).rejects.toMatchObject({ code: "ELECT_REFUSED", refusal: "permission" });
  });

  test("a password for a server that asks for none is not needed, and does no harm", async () => {
    const etcd = store();
    const a = await etcd.process({ username: "alice", password: "sesame" });
    expect(await a.prove()).toMatchObject({ kind: "alive" });
  });
});

describe("clusters", () => {
  test("ET-12: another cluster behind the same address is refused, before and during a session", async () => {
    const other = await ownServer(["--initial-cluster-token=another"]);
    let port = target.port;
    const sockets = new Set<Socket>();
    const relay = createServer((client) => {
      const server = connect(port, "127.0.0.1");
      for (const socket of [client, server]) {
        sockets.add(
          socket.on("error", () => {}).on("close", () => [client, server].forEach((each) => each.destroy())),
        );
      }
      client.pipe(server).pipe(client);
    });
    await new Promise<void>((listening) => relay.listen(0, "127.0.0.1", listening));
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      relay.close();
    });
    const { port: relayed } = relay.address() as { port: number };
    const etcd = store();
    const a = await etcd.process({ hosts: `127.0.0.1:${relayed}` });
    tokenOf(await a.claim(bid("a")));
    await a.prove();
    port = other.server.port;
    for (const socket of sockets) socket.destroy();
    await a.heard.next("doubt");
    await expect(a.prove(), "not dead: that cluster cannot know").rejects.toMatchObject({
      refusal: "cluster",
    });
    await expect(a.adapter.open({ ttlMs: 5_000, nonce: nonce(), events: a.heard }, call())).rejects.toThrow(
      /restart/,
    );
    port = target.port;
    expect(await a.prove()).toMatchObject({ kind: "alive" });
    const elsewhere = etcd.adapter({ hosts: other.hosts });
    await expect(elsewhere.end(a.session.ticket, call())).rejects.toMatchObject({ refusal: "cluster" });
  });

  test("G-22: a restarted server knows the session still, and its lease starts afresh", async () => {
    const { server, hosts } = await ownServer();
    const etcd = store(hosts);
    const a = await etcd.process({ ttlMs: 5_000 });
    const request = bid("a");
    const token = tokenOf(await a.claim(request));
    await server.restart();
    await a.heard.next("doubt");
    await eventually("it answers", async () => (await a.prove(request).catch(() => null))?.kind === "alive");
    expect(tokenOf(await a.claim(request))).toBe(token);
    expect(tokenOf(await a.claim(bid("b")))).toBeGreaterThan(token);
  });

  test("ET-16: a full database keeps leaders and lets them go; new sessions wait for room", async () => {
    const { server, hosts, client } = await ownServer([`--quota-backend-bytes=${2 ** 20}`]);
    const etcd = store(hosts);
    const a = await etcd.process();
    const request = bid("a");
    tokenOf(await a.claim(request));
    const fill = async () => {
      for (;;) await client.put("full").value("x".repeat(2 ** 19));
    };
    await expect(fill()).rejects.toThrow(/database space exceeded/);
    await eventually(
      "the alarm",
      async () => (await plain(server.port).maintenance.status()).errors.length > 0,
    );
    expect(await a.prove(request)).toMatchObject({ kind: "alive", lost: [] });
    await expect(etcd.process()).rejects.toThrow(/database space exceeded/);
    tokenOf(await a.claim(bid("b")));
    await a.session.release([request], call());
    expect(await a.adapter.read("a", call())).toBeNull();
  });

  test("TLS, with and without a certificate of our own", async (context) => {
    const pem = await certificates().catch(() => null);
    if (pem === null) return context.skip("there is no openssl to make certificates with");
    const files = { "/tls/ca.pem": pem.ca, "/tls/cert.pem": pem.cert, "/tls/key.pem": pem.key };
    const secure = ["--cert-file=/tls/cert.pem", "--key-file=/tls/key.pem"];
    const { hosts } = await ownServer(
      [...secure, "--trusted-ca-file=/tls/ca.pem", "--client-cert-auth"],
      files,
    );
    const etcd = store(hosts, {
      credentials: {
        rootCertificate: Buffer.from(pem.ca),
        certChain: Buffer.from(pem.cert),
        privateKey: Buffer.from(pem.key),
      },
      hosts: `https://${hosts}`,
    });
    await eventually(
      "it answers",
      async () => (await etcd.etcd.maintenance.status().catch(() => null)) !== null,
    );
    const a = await etcd.process({ tls: { ca: pem.ca, cert: pem.cert, key: pem.key } });
    expect(a.adapter.address).toBe(`etcds://${hosts}`);
    expect(await a.prove()).toMatchObject({ kind: "alive" });
    await expect(etcd.process({ tls: { ca: pem.ca } })).rejects.toThrow(/etcd at/);
  });
});

describe("guarded writes", () => {
  test("ET-14: what is written under a term is written while it leads, and not afterwards", async () => {
    const etcd = store();
    const [a, b] = [await etcd.process(), await etcd.process()];
    const [first, second] = [bid("a"), bid("a")];
    const term = { election: "a", token: tokenOf(await a.claim(first)) };
    const { namespace } = etcd;
    const key = `${namespace}/effect`;
    const write = (by: typeof term, value: string) =>
      guardedTxn(etcd.etcd, by, [etcd.etcd.put(key).value(value)], { namespace });
    expect(await write(term, "a's")).toBe(true);
    await b.claim(second);
    await a.session.end(call());
    expect(await write(term, "a's ghost")).toBe(false);
    const next = { election: "a", token: tokenOf(await b.claim(second)) };
    expect(await write(term, "a's ghost")).toBe(false);
    expect(await write(next, "b's")).toBe(true);
    expect(await etcd.etcd.get(key)).toBe("b's");
  });

  test("ET-14: not if an operator has overwritten the leader's key, which keeps its create revision", async () => {
    const etcd = store();
    const a = await etcd.process();
    const term = { election: "a", token: tokenOf(await a.claim(bid("a"))) };
    await etcd.etcd.put(etcd.keys.leader("a")).value(`${markOf("a", "b")}\nother\nnull`);
    const { namespace } = etcd;
    expect(await guardedTxn(etcd.etcd, term, [etcd.etcd.delete().key("a")], { namespace })).toBe(false);
    const byCreation = etcd.etcd.if(etcd.keys.leader("a"), "Create", "==", String(term.token));
    expect((await byCreation.then(etcd.etcd.delete().key("a")).commit()).succeeded, "the hazard").toBe(true);
  });
});

/** The types of the HTTP/2 frames in a chunk that begins with one; answers to the server's own pings do not count. */
function frameTypes(chunk: Buffer): number[] {
  const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  let at = chunk.toString("latin1").startsWith(preface) ? preface.length : 0;
  const types: number[] = [];
  while (at + 9 <= chunk.length) {
    const acknowledges = (chunk[at + 4]! & 1) === 1 && chunk[at + 3]! > 1;
    if (!acknowledges) types.push(chunk[at + 3]!);
    at += 9 + chunk.readUIntBE(at, 3);
  }
  return types;
}

async function certificates(): Promise<{ ca: string; cert: string; key: string }> {
  const { mkdtemp, readFile, rm, writeFile } = await import("node:fs/promises");
  const { tmpdir } = await import("node:os");
  const { join } = await import("node:path");
  const folder = await mkdtemp(join(tmpdir(), "elect-tls-"));
  try {
    const file = (name: string) => join(folder, name);
    const openssl = (...args: string[]) => run("openssl", args);
    const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
    await openssl(
      "req",
      "-x509",
      ...fresh,
      "-subj",
      "/CN=elect-ca",
      "-keyout",
      file("ca.key"),
      "-out",
      file("ca.pem"),
    );
    await openssl(
      "req",
      ...fresh.slice(0, -2),
      "-subj",
      "/CN=127.0.0.1",
      "-keyout",
      file("key.pem"),
      "-out",
      file("csr.pem"),
    );
    await writeFile(file("ext"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
    await openssl(
      "x509",
      "-req",
      "-in",
      file("csr.pem"),
      "-CA",
      file("ca.pem"),
      "-CAkey",
      file("ca.key"),
      "-CAcreateserial",
      "-days",
      "1",
      "-extfile",
      file("ext"),
      "-out",
      file("cert.pem"),
    );
    const [ca, cert, key] = await Promise.all(
      ["ca.pem", "cert.pem", "key.pem"].map((name) => readFile(file(name), "utf8")),
    );
    return { ca: ca!, cert: cert!, key: key! };
  } finally {
    await rm(folder, { recursive: true });
  }
}
