/** ET-14: what is written under a term is written while it leads, at that very point of etcd's log. */

import { guardedTxn } from "../src/index.ts";
import { markOf } from "../src/keys.ts";
import { expect, test } from "vitest";
import { bid, call, store, tokenOf } from "./support.ts";

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
