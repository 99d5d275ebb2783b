/** How long a lease lasts, by whose clock, and who ends it; the numbers are those of the hazard list. */

import { EtcdLeaseInvalidError } from "etcd3";
import { expect, test } from "vitest";
import {
  bid,
  call,
  eventually,
  leaseOf,
  ownServer,
  pass,
  plain,
  proxyTo,
  store,
  tokenOf,
} from "./support.ts";

test("ET-1, A5.3 lease loss: a silent leader's key outlives every proof that was acknowledged, and goes within TTL + 1 s", async () => {
  const etcd = store();
  const proxy = await proxyTo();
  const [a, b] = [
    await etcd.process({ hosts: `127.0.0.1:${proxy.port}`, ttlMs: 2_000 }),
    await etcd.process(),
  ];
  const [first, second] = [bid("a"), bid("a")];
  tokenOf(await a.claim(first));
  expect(await b.claim(second)).toMatchObject({ kind: "held" });
  const theirs = plain(proxy.port).lease(2);
  await theirs.grant();
  let lost = false;
  theirs.on("lost", () => (lost = true));
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
  expect(lost, "a lease of the driver's, of the same age, knows nothing yet").toBe(false);
  tokenOf(await b.claim(second));
  await proving;
  theirs.release();
  proxy.heal();
  await eventually("a learns it", async () => (await a.prove().catch(() => null))?.kind === "dead");
  expect(a.heard.all.join()).not.toContain("lost");
});

test("ET-2, A5.3 keepalive: a TTL of 1 s is granted as 2, and what is granted counts", async () => {
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
  await expect(etcd.etcd.leaseClient.leaseRevoke({ ID: leaseOf(a) })).rejects.toThrow(EtcdLeaseInvalidError);
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
