/** ZK-14: an effect in the same ZooKeeper, only while the term leads. */

import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { guardedMulti, type GuardedTerm } from "../src/guard.ts";
import { bid, call, claim, granted, hosts, store, zookeeper, type Store } from "./support.ts";

interface Effect {
  readonly path: string;
  readonly client: zookeeper.Client;
  readonly value: () => Promise<string>;
  readonly write: (term: GuardedTerm, value: string) => Promise<boolean>;
}

/** A node that only the leader may write to, and the user's own client. */
async function effect(zk: Store): Promise<Effect> {
  const client = zookeeper.createClient(hosts);
  onTestFinished(() => client.close());
  client.connect();
  await once(client, "connected");
  await (await zk.operator()).create(zk.paths.base, Buffer.alloc(0), 0, -110);
  const path = `${zk.paths.base}/effect`;
  const created = new Promise((done) => client.create(path, Buffer.from("none"), done));
  await created;
  return {
    path,
    client,
    value: () => new Promise((done) => client.getData(path, (_, data) => done(data.toString()))),
    write: (term, value) =>
      guardedMulti(client, term, (transaction) => transaction.setData(path, Buffer.from(value)), {
        namespace: zk.namespace,
      }),
  };
}

test("ZK-14: is done for the leader, as often as it likes", async () => {
  const zk = store();
  const { session } = await zk.open();
  const { write, value } = await effect(zk);
  const term = { election: "a", token: await granted(session, bid("a")) };
  expect(await write(term, "1")).toBe(true);
  expect(await write(term, "2")).toBe(true);
  expect(await value()).toBe("2");
});

test("ZK-14: is not done for a former leader, whether or not somebody leads, before and after its first write", async () => {
  const zk = store();
  const [a, b] = [await zk.open(), await zk.open()];
  const { write, value } = await effect(zk);
  const [first, second] = [bid("a"), bid("a")];
  const term = { election: "a", token: await granted(a.session, first) };
  await write(term, "by the first");
  await claim(b.session, second);
  await a.session.release([first], call());
  await b.heard.next("hint a");
  expect(await write(term, "nobody leads")).toBe(false);
  const later = { election: "a", token: await granted(b.session, second) };
  expect(await write(term, "known place")).toBe(false);
  expect(await write({ ...term }, "place unknown")).toBe(false);
  expect(await write(later, "by the second")).toBe(true);
  expect(await value()).toBe("by the second");
});

test("ZK-14: is not done after the session's end, nor after an operator deleted the leader's node or place", async () => {
  const zk = store();
  const { write, value } = await effect(zk);
  const operator = await zk.operator();
  for (const end of ["session", "leader", "place"] as const) {
    const { session, adapter } = await zk.open();
    const term = { election: end, token: await granted(session, bid(end)) };
    expect(await write(term, end)).toBe(true);
    if (end === "session") await adapter.end(session.ticket, call());
    else if (end === "leader") await operator.remove(zk.paths.leader(end));
    else {
      const [place] = (await operator.children(zk.paths.election(end)))!.filter((node) =>
        node.startsWith("c-"),
      );
      await operator.remove(zk.paths.place(end, place!));
    }
    expect(await write(term, "too late")).toBe(false);
    expect(await value()).toBe(end);
  }
});

test("ZK-14: says of an operation of the user's own what the server said of it", async () => {
  const zk = store();
  const { session } = await zk.open();
  const { client, path } = await effect(zk);
  const term = { election: "a", token: await granted(session, bid("a")) };
  const wrongVersion = guardedMulti(
    client,
    term,
    (transaction) => transaction.setData(path, Buffer.alloc(0), 7),
    {
      namespace: zk.namespace,
    },
  );
  await expect(wrongVersion).rejects.toMatchObject({ code: zookeeper.Exception.BAD_VERSION });
});

test("ZK-14: of two leaders who both believe to lead, one writes only: no update is lost", async () => {
  const zk = store();
  const { write, value } = await effect(zk);
  let expected = "none";
  for (let round = 0; round < 10; round += 1) {
    const [a, b] = [await zk.open(), await zk.open()];
    const [first, second] = [bid("a"), bid("a")];
    const old = { election: "a", token: await granted(a.session, first) };
    await claim(b.session, second);
    // The old leader's write and its end race.
    const [written] = await Promise.all([write(old, `old ${round}`), a.session.end(call())]);
    if (written) expected = `old ${round}`;
    await b.heard.next("hint a");
    const next = { election: "a", token: await granted(b.session, second) };
    expect(await value()).toBe(expected);
    expect(await write(next, `new ${round}`)).toBe(true);
    expect(await write(old, "stale")).toBe(false);
    expected = `new ${round}`;
    await b.session.end(call());
  }
});
