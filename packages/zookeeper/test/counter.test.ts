/** ZK-10: the counter that numbers the places of a queue comes to its end. */

import { afterAll, expect, onTestFinished, test } from "vitest";
import type { ClaimRequest, Session } from "@elect/core/adapter";
import { startZookeeper } from "../../../integration/servers/src/index.ts";
import { mode } from "../src/driver.ts";
import { inWaitingOrder } from "../src/paths.ts";
import { bid, call, claim, granted, Heard, makeLink, nonce, store } from "./support.ts";
import { wearCounter } from "./worn-counter.ts";

const server = await startZookeeper();
afterAll(async () => server.stop());

const highest = 2_147_483_647;

interface Candidate {
  readonly session: Session;
  readonly heard: Heard;
  readonly request: ClaimRequest;
}

test("ZK-10: on a server whose counter has come to its end each candidate still leads once, one at a time", async (context) => {
  if (!server.owned)
    context.skip("the counter is worn in the server's own files, and this server is not ours");
  const zk = store();
  const operator = makeLink(server.url);
  onTestFinished(() => operator.abandon());
  const election = zk.paths.election("a");
  await operator.during(call(), async (wire) => {
    for (const path of [zk.paths.base, zk.paths.elections, zk.paths.sessions, election])
      await wire.create(path, Buffer.alloc(0), mode.persistent);
    await wire.create(`${election}/mark`, Buffer.alloc(0), mode.persistent);
  });
  await wearCounter(server, `${election}/mark`, highest - 1);

  const candidates: Candidate[] = [];
  const adapter = zk.adapter({ url: server.url });
  for (let joined = 0; joined < 6; joined += 1) {
    const heard = new Heard();
    const session = await adapter.open({ ttlMs: 10_000, nonce: nonce(), events: heard }, call());
    onTestFinished(async () => session.end(call()));
    candidates.push({ session, heard, request: bid("a", nonce(), `${joined}`) });
  }
  const [first, ...others] = candidates;
  let token = await granted(first!.session, first!.request);
  for (const { session, request } of others)
    expect(await claim(session, request)).toMatchObject({ kind: "held" });

  const places = inWaitingOrder((await operator.during(call(), (wire) => wire.children(election)))!);
  const numbers = places.map(({ sequence }) => sequence);
  expect(numbers, "the hazard: as many places as came later have one number").toEqual([
    highest - 1,
    ...others.map(() => highest),
  ]);

  const waiting = new Set(others);
  for (let leader = first!; waiting.size > 0;) {
    await leader.session.release([leader.request], call());
    const told = (): Candidate[] => [...waiting].filter(({ heard }) => heard.all.length > 0);
    await expect.poll(told).toHaveLength(1);
    leader = told()[0]!;
    waiting.delete(leader);
    const later = await granted(leader.session, leader.request);
    expect(later).toBeGreaterThan(token);
    token = later;
  }
});

test("ZK-10: where the counter runs on over 2³¹, order holds; equal numbers have the same order for all who look", () => {
  const n = (sequence: number, own = "ab".repeat(16)): string =>
    `c-${"01".repeat(8)}-${own}-${format(sequence)}`;
  const running = [2147483646, 2147483647, -2147483648, -2147483647].map((sequence) => n(sequence));
  for (const shuffled of [running.toReversed(), [running[2]!, running[0]!, running[3]!, running[1]!]]) {
    expect(inWaitingOrder(shuffled).map(({ node }) => node)).toEqual(running);
  }
  const later = [-2, -1, 0, 1].map((sequence) => n(sequence));
  expect(inWaitingOrder(later.toReversed()).map(({ node }) => node)).toEqual(later);
  const equal = ["a", "b", "c"].map((own) => n(highest, own));
  expect(inWaitingOrder(equal.toReversed()).map(({ node }) => node)).toEqual(equal);
});

/** As Java's `%010d` writes it. */
function format(sequence: number): string {
  return sequence < 0 ? `-${String(-sequence).padStart(9, "0")}` : String(sequence).padStart(10, "0");
}
