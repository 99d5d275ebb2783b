/** A cluster of three, and what becomes of a session when its own member, or etcd's leader, is killed, frozen or cut off. */

import { describe, expect, test } from "vitest";
import { hostsOf, keepProving, limit, sessionAt, Trio } from "./cluster.ts";
import { bid, eventually, pass, call, tokenOf, type Process } from "./support.ts";

const ttl = 5_000;

describe("ET-4: three members", () => {
  const trio = new Trio();

  async function survives(
    process: Process,
    fault: () => Promise<void>,
    heal: () => Promise<void>,
  ): Promise<void> {
    const request = bid("a");
    const token = tokenOf(await process.claim(request));
    const over = new AbortController();
    const proving = keepProving(process, over.signal);
    await fault();
    await pass(ttl);
    await heal();
    await trio.roles();
    over.abort();
    const { gapMs, deaths } = await proving;
    expect(deaths).toBe(0);
    expect(gapMs, "a term would not have ended").toBeLessThan(ttl * 0.94);
    expect(tokenOf(await process.claim(request))).toBe(token);
    expect(await process.prove(request)).toMatchObject({ kind: "alive", lost: [] });
  }

  test("a session whose member is killed goes on at the next one", { timeout: limit }, async () => {
    const { leader, followers } = await trio.roles();
    const member = followers[0];
    const a = await sessionAt(trio.store(), ttl, member, followers[1], leader);
    await survives(
      a,
      () => member.kill(),
      () => member.restart(),
    );
  });

  test(
    "one whose member is etcd's leader, which is killed, goes on under the next leader",
    { timeout: limit },
    async () => {
      const { leader, followers } = await trio.roles();
      const a = await sessionAt(trio.store(), ttl, leader, ...followers);
      await survives(
        a,
        () => leader.kill(),
        () => leader.restart(),
      );
    },
  );

  // When it thaws, it may revoke what was renewed at its successor: a declared limit, forced in `old-leader.test.ts`.
  test(
    "ET-5: one whose member is etcd's leader, which is frozen, goes on; when it thaws, too, or is told at once",
    { timeout: limit },
    async () => {
      const { leader, followers } = await trio.roles();
      const a = await sessionAt(trio.store(), ttl, leader, ...followers);
      const request = bid("a");
      const token = tokenOf(await a.claim(request));
      const [frost, thaw] = [new AbortController(), new AbortController()];
      const frozen = keepProving(a, frost.signal);
      await leader.pause();
      await pass(ttl);
      frost.abort();
      const { gapMs, deaths } = await frozen;
      expect(deaths).toBe(0);
      expect(gapMs, "a term would not have ended").toBeLessThan(ttl * 0.94);
      const thawing = keepProving(a, thaw.signal);
      await leader.unpause();
      await trio.roles();
      thaw.abort();
      const { deaths: revoked } = await thawing;
      const dead = revoked > 0 || (await a.prove(request)).kind === "dead";
      const outcome = dead ? await a.heard.next("ended") : String(tokenOf(await a.claim(request)));
      expect(outcome).toMatch(dead ? /^ended its key in etcd is gone/ : String(token));
    },
  );

  test(
    "ET-5: one whose member is etcd's leader, which is cut off from the others, goes on",
    { timeout: limit },
    async () => {
      const { leader, followers } = await trio.roles();
      const a = await sessionAt(trio.store(), ttl, leader, ...followers);
      await survives(
        a,
        () => trio.isolate(leader),
        () => trio.rejoin(leader),
      );
    },
  );

  test(
    "one that knows only a member that is cut off is not proven, and is replaced in time",
    { timeout: limit },
    async () => {
      const { leader, followers } = await trio.roles();
      const member = followers[0];
      const etcd = trio.store();
      const a = await sessionAt(etcd, ttl, member);
      const [first, second] = [bid("a"), bid("a")];
      tokenOf(await a.claim(first));
      const b = await etcd.process({ hosts: hostsOf([leader, followers[1]]), ttlMs: ttl });
      await b.claim(second);
      const over = new AbortController();
      const living = keepProving(b, over.signal);
      expect(await a.prove(first)).toMatchObject({ kind: "alive" });
      await trio.isolate(member);
      const cutAt = performance.now();
      let lastSent = 0;
      const proving = (async () => {
        while (performance.now() - cutAt < ttl) {
          const sentAt = performance.now();
          const proof = await a.session.prove(new Map(), call(ttl / 6)).catch(() => null);
          if (proof?.kind === "alive") lastSent = sentAt;
          await pass(50);
        }
      })();
      await b.heard.next("hint a");
      const took = performance.now() - cutAt;
      expect(took).toBeLessThan(ttl + 1_000 + 500);
      expect(performance.now(), "no proof of a's counted any more").toBeGreaterThan(lastSent + ttl);
      tokenOf(await b.claim(second));
      await proving;
      over.abort();
      expect((await living).deaths).toBe(0);
      await trio.rejoin(member);
      await eventually(
        "a learns it",
        async () => (await a.prove().catch(() => null))?.kind === "dead",
        20_000,
      );
    },
  );

  test(
    "a leader that crashes as etcd's leader does is replaced within 2 TTL + 2 s",
    { timeout: limit },
    async () => {
      const { leader, followers } = await trio.roles();
      const etcd = trio.store();
      const a = await sessionAt(etcd, ttl, ...followers);
      const [first, second] = [bid("a"), bid("a")];
      tokenOf(await a.claim(first));
      const b = await etcd.process({ hosts: hostsOf(followers), ttlMs: ttl });
      await b.claim(second);
      await a.prove(first);
      a.session.abandon();
      await pass(ttl / 2);
      const killedAt = performance.now();
      const over = new AbortController();
      const proving = keepProving(b, over.signal);
      await leader.kill();
      await b.heard.next("hint a");
      const took = performance.now() - killedAt + ttl / 2;
      over.abort();
      expect((await proving).deaths).toBe(0);
      expect(took).toBeLessThan(2 * ttl + 2_000);
      tokenOf(await b.claim(second));
      await leader.restart();
    },
  );
});
