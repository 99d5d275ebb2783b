/** Servers that are replaced, restarted or full; the numbers are those of the hazard list. */

import { createServer, connect, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { bid, call, eventually, nonce, ownServer, plain, store, target, tokenOf } from "./support.ts";

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
