/** S5: third parties are noticed; and observers see every change. */

import { describe, expect, test } from "vitest";
import { bid, call, claim, granted, nonce, proxied, store, type Store } from "./support.ts";

const none: ReadonlyMap<string, never> = new Map<string, never>();

describe("S5: third parties are noticed", () => {
  for (const which of ["leader", "place"] as const) {
    test(`when they delete the ${which} node of a leader`, async () => {
      const zk = store();
      const [a, b] = [await zk.open(), await zk.open()];
      const [first, second] = [bid("a"), bid("a")];
      await granted(a.session, first);
      await claim(b.session, second);
      await remove(zk, which);
      await a.heard.next("lost a");
      expect(a.heard.lostClaims).toEqual([{ election: "a", nonce: first.nonce }]);
      // The deposed one lets go, and the next one leads.
      await a.session.release([first], call());
      await b.heard.next("hint a");
      if ((await claim(b.session, second)).kind === "held") {
        await b.heard.next("hint a");
        await granted(b.session, second);
      }
    });

    test(`when they delete the ${which} node while its owner is cut off`, async () => {
      const zk = store();
      const { proxy, url } = await proxied();
      const { session, heard } = await zk.open({ url });
      await granted(session, bid("a"));
      proxy.refuse();
      await heard.next("doubt");
      await remove(zk, which);
      proxy.heal();
      await session.prove(none, call());
      await heard.next("lost a");
    });
  }

  test("when they delete the leader node, and that is told in one packet with the answer that it is ours", async () => {
    const zk = store();
    const { proxy, url } = await proxied();
    const { session, heard } = await zk.open({ url });
    const operator = await zk.operator();
    const disarm = proxy.observe(({ direction, bytes }) => {
      if (direction === "up" && bytes.includes("/a/leader")) proxy.silence("down");
    });
    const claiming = claim(session, bid("a"));
    await expect.poll(async () => operator.read(zk.paths.leader("a"))).not.toBeNull();
    const told = proxy.once(
      ({ direction, bytes }) => direction === "down" && bytes.includes(zk.paths.leader("a")),
      "hold",
    );
    await operator.remove(zk.paths.leader("a"));
    await told.seen;
    disarm();
    proxy.heal();
    const [answer] = await Promise.all([claiming, heard.next("lost a")]);
    expect(answer).toMatchObject({ kind: "granted" });
  });

  test("when they delete the place of somebody who waits, who queues again", async () => {
    const zk = store();
    const [a, b] = [await zk.open(), await zk.open()];
    const [first, second] = [bid("a"), bid("a")];
    await granted(a.session, first);
    await claim(b.session, second);
    await remove(zk, "last place");
    await b.heard.next("lost a");
    await b.heard.next("hint a");
    expect(await claim(b.session, second)).toMatchObject({ kind: "held" });
    await a.session.release([first], call());
    await b.heard.next("hint a");
    await granted(b.session, second);
  });

  test("who only write to the leader node depose nobody, and a later deletion is still seen", async () => {
    const zk = store();
    const { session, heard, adapter } = await zk.open();
    const token = await granted(session, bid("a"));
    const operator = await zk.operator();
    const node = await operator.read(zk.paths.leader("a"));
    for (let n = 0; n < 3; n += 1) await operator.setData(zk.paths.leader("a"), node!.data!);
    await session.prove(none, call());
    expect(await adapter.read("a", call())).toMatchObject({ token });
    expect(heard.all).toEqual([]);
    await operator.remove(zk.paths.leader("a"));
    await heard.next("lost a");
  });
});

describe("observers", () => {
  test("read the leader and its token, and nobody when there is none", async () => {
    const zk = store();
    const { session, adapter } = await zk.open();
    expect(await adapter.read("a", call())).toBeNull();
    expect(await adapter.candidates("a", call())).toEqual([]);
    const request = bid("a", nonce(), "me");
    const token = await granted(session, request);
    expect(await adapter.read("a", call())).toEqual({ id: "me", metadata: `{"of":"me"}`, token });
    await session.release([request], call());
    expect(await adapter.read("a", call())).toBeNull();
  });

  test("who read when they are told see every change, before and after the connection was lost", async () => {
    const zk = store();
    const { proxy, url } = await proxied();
    const { session } = await zk.open();
    const observer = zk.adapter({ url });
    // As core does: changes that come while a read is under way are followed by another read.
    let told = Promise.withResolvers<void>();
    const watch = await observer.watch("a", () => told.resolve(), call());
    const sees = async (expected: bigint | null): Promise<void> => {
      for (;;) {
        told = Promise.withResolvers<void>();
        const leader = await observer.read("a", call()).catch(() => undefined);
        if (leader !== undefined && (leader?.token ?? null) === expected) return;
        await told.promise;
      }
    };
    for (const reset of [false, true, false, true]) {
      const request = bid("a");
      await sees(null);
      const token = await granted(session, request);
      await sees(token);
      if (reset) proxy.reset();
      await session.release([request], call());
    }
    await sees(null);
    watch.close();
  });
});

async function remove(zk: Store, which: "leader" | "place" | "last place"): Promise<void> {
  const operator = await zk.operator();
  if (which === "leader") return void (await operator.remove(zk.paths.leader("a")));
  const places = (await operator.children(zk.paths.election("a")))!.filter((node) => node.startsWith("c-"));
  places.sort((a, b) => Number(a.slice(-10)) - Number(b.slice(-10)));
  const node = which === "place" ? places[0]! : places.at(-1)!;
  await operator.remove(zk.paths.place("a", node));
}
