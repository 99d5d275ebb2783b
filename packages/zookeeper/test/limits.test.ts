/** ZK-15: what servers refuse, on real ones that are configured to. (A key that ZooKeeper does not know becomes a property.) */

import { createElection } from "@elect/core";
import { expect, onTestFinished, test, type TestContext } from "vitest";
import { startZookeeper, type Server } from "../../../integration/servers/src/index.ts";
import { zookeeper as backendOn } from "../src/index.ts";
import { bid, call, Heard, makeLink, nonce, store } from "./support.ts";

async function serverWith(context: TestContext, ...configuration: string[]): Promise<Server> {
  const server = await startZookeeper({ configuration });
  onTestFinished(async () => server.stop());
  if (!server.owned) context.skip("needs a server of its own, configured to refuse");
  return server;
}

test("ZK-15: maxClientCnxns reached: said so, tried again with pauses, and led when a connection is free", async (context) => {
  const server = await serverWith(context, "maxClientCnxns=3");
  const others = [makeLink(server.url), makeLink(server.url), makeLink(server.url)];
  onTestFinished(() => others.forEach((link) => link.abandon()));
  for (const link of others) await link.during(call(), (wire) => wire.read("/"));

  await using backend = backendOn(server.url);
  const election = createElection({ backend, name: "a", ttl: 2_000 });
  const troubles: string[] = [];
  election.on("trouble", ({ error }) => void troubles.push(String(error)));
  const campaign = election.campaign();
  campaign.catch(() => {});
  await expect.poll(() => troubles.length, { timeout: 5_000 }).toBeGreaterThan(1);
  expect(new Set(troubles)).toEqual(
    new Set([expect.stringMatching(/No connection to ZooKeeper.*too many connections from this host\?/)]),
  );
  // As many attempts as core says, and no more: the driver, left alone, dials by itself.
  const refusals = (await server.logs()).match(/Too many connections/g) ?? [];
  expect(refusals.length).toBeLessThanOrEqual(troubles.length + 1);
  await others[0]!.closeSession(call());
  const term = await campaign;
  expect(term.isValid()).toBe(true);
  await term.resign();
});

test("ZK-15: a throttled request has failed, and nothing else: connection, session and the other requests go on", async (context) => {
  const server = await serverWith(
    context,
    "request_throttle_max_requests=1",
    "request_throttle_stall_time=1",
    "throttled_op_wait_time=20",
  );
  const zk = store();
  const heard = new Heard();
  const session = await zk
    .adapter({ url: server.url })
    .open({ ttlMs: 10_000, nonce: nonce(), events: heard }, call());
  onTestFinished(() => session.abandon());
  expect(await session.claim([bid("alone")], call())).toMatchObject([{ kind: "granted" }]);
  const bids = Array.from({ length: 200 }, (_, n) => bid(`election-${n}`));
  const answers = await session.claim(bids, call());
  const unknown = bids.filter((_, n) => answers[n]!.kind === "unknown");
  // How many of them get through is the server's speed; why the others do not is not.
  const outcomes = new Set(
    answers.map((answer) => (answer.kind === "unknown" ? String(answer.cause) : answer.kind)),
  );
  outcomes.delete("granted");
  expect(outcomes).toEqual(new Set(["ServerError: ZooKeeper answered with error -127 (throttled)"]));
  for (const each of unknown.slice(0, 5)) {
    await session.dispose([each], call());
    expect(await session.claim([each], call())).toMatchObject([{ kind: "granted" }]);
  }
  expect(heard.all).toEqual([]);
});

test("ZK-15: credentials of a scheme that the server does not know are a refusal", async () => {
  const adapter = store().adapter({ auth: { scheme: "nonesuch", value: "x" } });
  const opening = adapter.open({ ttlMs: 5_000, nonce: nonce(), events: new Heard() }, call());
  await expect(opening).rejects.toMatchObject({ refusal: "authentication" });
});

test("ZK-15: none where the server wants some are a refusal, too; those it wants are given first of all", async (context) => {
  const server = await serverWith(context, "enforce.auth.enabled=true", "enforce.auth.schemes=digest");
  const zk = store();
  const opening = zk
    .adapter({ url: server.url })
    .open({ ttlMs: 5_000, nonce: nonce(), events: new Heard() }, call());
  await expect(opening).rejects.toMatchObject({ refusal: "sasl" });
  const allowed = zk.adapter({ url: server.url, auth: { value: "user:secret" } });
  const session = await allowed.open({ ttlMs: 5_000, nonce: nonce(), events: new Heard() }, call());
  expect(await session.claim([bid("a")], call())).toMatchObject([{ kind: "granted" }]);
  await session.end(call());
});
