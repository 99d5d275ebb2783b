/** ZK-3 … ZK-16: what goes wrong with elections on ZooKeeper, each forced at its exact point on a real server. */

import { RefusedError } from "@elect/core/adapter";
import { describe, expect, test } from "vitest";
import { ZooKeeperAdapter } from "../src/adapter.ts";
import { mode } from "../src/driver.ts";
import { resolveOptions } from "../src/options.ts";
import { fakeServer } from "./fake-server.ts";
import { bid, call, claim, granted, Heard, hosts, makeLink, nonce, proxied, store, url } from "./support.ts";

const nothing = Buffer.alloc(0);
const none: ReadonlyMap<string, never> = new Map<string, never>();

describe("ZooKeeper", () => {
  test("A5.4 retries, ZK-3: the connection is cut right after the place was created: found by its nonce, no orphan ahead", async () => {
    const zk = store();
    const { proxy, url: through } = await proxied();
    const [a, b] = [await zk.open(), await zk.open({ url: through })];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    proxy.once(
      ({ direction, bytes }) => direction === "up" && bytes.includes(`-${second.nonce}-`),
      "cut-after",
    );
    expect(await claim(b.session, second)).toMatchObject({ kind: "unknown" });
    expect(await claim(b.session, second)).toMatchObject({ kind: "held" });
    expect(await a.adapter.candidates("a", call()), "two places, not three").toHaveLength(2);
    await a.session.release([first], call());
    await b.heard.next("hint a");
    await granted(b.session, second);
  });

  test("ZK-4: the same, and the session ends before the retry: the old place is gone, a new one is used", async () => {
    const zk = store();
    const { proxy, url: through } = await proxied();
    const a = await zk.open({ url: through });
    const request = bid("a");
    proxy.once(
      ({ direction, bytes }) => direction === "up" && bytes.includes(`-${request.nonce}-`),
      "cut-after",
    );
    expect(await claim(a.session, request)).toMatchObject({ kind: "unknown" });
    await zk.adapter().end(a.session.ticket, call());
    const again = await zk.open();
    await granted(again.session, request);
    expect(await again.adapter.candidates("a", call())).toHaveLength(1);
  });

  test("ZK-4, ZK-7: a former session's place and leader node are somebody else's, with the same nonce, too", async () => {
    const zk = store();
    const [former, later] = [await zk.open(), await zk.open()];
    const [leading, waiting] = [bid("a"), bid("b")];
    const token = await granted(former.session, leading);
    await granted(later.session, bid("b"));
    await claim(former.session, waiting);
    // What core does when a lease has run out: the session is let go of, and its claims are made again in the next.
    former.session.abandon();
    expect(await claim(later.session, leading)).toMatchObject({ kind: "held", by: { token } });
    expect(await claim(later.session, waiting)).toMatchObject({ kind: "held" });
    expect(await later.adapter.candidates("b", call()), "not counted twice").toHaveLength(2);
    // Nor is anything of the former session's removed: work may still be running under its leader node.
    for (const how of ["release", "dispose"] as const) {
      await later.session[how]([leading], call());
      expect(await later.adapter.read("a", call())).toMatchObject({ token });
      await claim(later.session, leading);
    }
    await zk.adapter().end(former.session.ticket, call());
    await later.heard.next("hint a");
    expect(await granted(later.session, leading)).toBeGreaterThan(token);
    expect(later.heard.lostClaims).toEqual([]);
  });

  test("ZK-5: a reconnect keeps the session; a predecessor deleted meanwhile is noticed", async () => {
    const zk = store();
    const { proxy, url: through } = await proxied();
    const [a, b] = [await zk.open(), await zk.open({ url: through })];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    await claim(b.session, second);
    proxy.refuse();
    await b.heard.next("doubt");
    await a.session.release([first], call());
    proxy.heal();
    await expect(b.session.prove(none, call())).resolves.toMatchObject({ kind: "alive" });
    await b.heard.next("hint *");
    await granted(b.session, second);
  });

  test("A5.4 expiry, stuck calls, ZK-6: after an expiry all promises settle, and the next session is a new client", async () => {
    const zk = store();
    const { proxy, url: through } = await proxied();
    const a = await zk.open({ url: through });
    await granted(a.session, bid("a"));
    proxy.silence();
    const asked = [a.session.prove(none, call(300)), a.session.claim([bid("b")], call(300))] as const;
    await zk.adapter().end(a.session.ticket, call());
    const [proof, answers] = await Promise.allSettled(asked);
    expect(proof).toMatchObject({ status: "rejected" });
    // Unknown, in one way or the other: the connection was given up before, or after, the batch was on its way.
    const kinds = answers.status === "fulfilled" ? answers.value.map(({ kind }) => kind) : ["unknown"];
    expect(kinds).toEqual(["unknown"]);
    proxy.heal();
    await expect(a.session.prove(none, call())).resolves.toMatchObject({ kind: "dead" });
    await a.heard.next("ended");
    const again = await zk.open({ url: through });
    expect(again.session.id).not.toBe(a.session.id);
    await granted(again.session, bid("a"));
  });

  test("ZK-6: a session that really expires is replaced by the next in the queue", async () => {
    const zk = store();
    const { proxy, url: through } = await proxied();
    const a = await zk.open({ url: through, ttlMs: 1_000 });
    const b = await zk.open();
    const second = bid("a");
    const token = await granted(a.session, bid("a"));
    await claim(b.session, second);
    proxy.silence();
    await b.heard.next("hint a");
    expect(await granted(b.session, second)).toBeGreaterThan(token);
    proxy.heal();
    // The server has closed the connection, too; the next one is told why.
    await a.heard.next("doubt");
    await expect(a.session.prove(none, call())).resolves.toMatchObject({ kind: "dead" });
  });

  test("A5.4 session timeout, ZK-9: the negotiated timeout counts; one that is shorter than asked for is refused with the remedy", async () => {
    const zk = store();
    const { session } = await zk.open({ ttlMs: 500 });
    expect(session.ttlMs, "two ticks").toBeGreaterThanOrEqual(500);
    const fake = await fakeServer();
    const adapter = new ZooKeeperAdapter(resolveOptions(fake.url));
    const opening = adapter.open({ ttlMs: 4_001, nonce: nonce(), events: new Heard() }, call());
    await expect(opening).rejects.toThrow(RefusedError);
    await expect(opening).rejects.toThrow(/4000 ms at most.*maxSessionTimeout/);
  });

  test("ZK-13: a chroot is created; foreign children of an election are not candidates", async () => {
    const zk = store();
    const chroot = `/${zk.namespace}/deep/er`;
    const { session, adapter } = await zk.open({ url: `${url}${chroot}`, namespace: "n" });
    const operator = await zk.operator();
    await granted(session, bid("a", nonce(), "me"));
    await operator.create(`${chroot}/n/elections/a/0000-foreign`, nothing, mode.persistent);
    await operator.create(`${chroot}/n/elections/a/c-foreign`, Buffer.from("?"), mode.ephemeralSequential);
    expect(await claim(session, bid("a"))).toMatchObject({ kind: "held", by: { id: "me" } });
    expect((await adapter.candidates("a", call())).map(({ id }) => id)).toEqual(["me", "candidate"]);
  });

  test("ZK-13: what is not ours to read, or not to write, is refused with the remedy", async () => {
    const zk = store();
    const withAuth = `zookeeper://user:secret@${hosts}`;
    const owner = await zk.open({ url: withAuth });
    const request = bid("a");
    await granted(owner.session, request);
    // The same credentials: one of us.
    const friend = await zk.open({ url: withAuth });
    expect(await claim(friend.session, bid("a"))).toMatchObject({ kind: "held" });
    // None.
    const stranger = zk.adapter();
    await expect(stranger.read("a", call())).rejects.toMatchObject({ refusal: "permission" });
    const opening = stranger.open({ ttlMs: 5_000, nonce: nonce(), events: new Heard() }, call());
    await expect(opening).rejects.toMatchObject({ refusal: "permission" });
    await expect(opening).rejects.toThrow(/^(?!.*secret)/);
    // Cleans up with the right to do so.
    await owner.session.release([request], call());
    await owner.session.end(call());
    await friend.session.end(call());
    const link = makeLink(withAuth);
    await link.during(call(), async (wire) => {
      for (const path of [zk.paths.election("a"), zk.paths.elections, zk.paths.sessions, zk.paths.base]) {
        for (const child of (await wire.children(path)) ?? []) await wire.remove(`${path}/${child}`);
        await wire.remove(path);
      }
    });
    await link.closeSession(call());
  });

  test("ZK-13: who is refused in the queue does not stand in the way of those behind", async () => {
    const zk = store();
    const [a, c, d] = [await zk.open(), await zk.open(), await zk.open()];
    const b = await zk.open({ auth: { value: "user:secret" } });
    const requests = [a, b, c, d].map(() => bid("a"));
    await granted(a.session, requests[0]!);
    await claim(b.session, requests[1]!);
    // The place ahead is one that it may not read, so it cannot watch it.
    expect(await claim(c.session, requests[2]!)).toMatchObject({
      kind: "refused",
      error: { refusal: "permission" },
    });
    await b.session.release([requests[1]!], call());
    expect(await claim(d.session, requests[3]!)).toMatchObject({ kind: "held" });
    await a.session.release([requests[0]!], call());
    await d.heard.next("hint a");
    await granted(d.session, requests[3]!);
  });

  test("ZK-7: parents that were deleted are made again", async () => {
    const zk = store();
    const { session } = await zk.open();
    const operator = await zk.operator();
    const [first, second] = [bid("a"), bid("a")];
    const token = await granted(session, first);
    await session.release([first], call());
    expect(await operator.remove(zk.paths.elections)).toBe(true);
    expect(await granted(session, second)).toBeGreaterThan(token);
  });

  test("ZK-13: an ACL of the creator's without credentials is refused", async () => {
    const adapter = store().adapter({ acl: "creator" });
    const opening = adapter.open({ ttlMs: 5_000, nonce: nonce(), events: new Heard() }, call());
    await expect(opening).rejects.toMatchObject({ refusal: "acl" });
  });

  test("ZK-16: every session is one of its own; one that was moved away says it is over", async () => {
    const zk = store();
    const [a, b] = [await zk.open(), await zk.open()];
    expect(a.session.id).not.toBe(b.session.id);
    await zk.adapter().end(a.session.ticket, call());
    await a.heard.next("doubt");
    await expect(a.session.prove(none, call())).resolves.toMatchObject({ kind: "dead" });
    await expect(b.session.prove(none, call())).resolves.toMatchObject({ kind: "alive" });
  });
});
