/** G-18, G-19, D.3: effects in the same store, of the present leader only. */

import { beforeEach, expect, test } from "vitest";
import { guardedEval, guardedSet } from "../src/index.ts";
import { call, candidate, maxTtl, namespace, plain, sharedServer, tokenOf } from "./support.ts";

const server = await sharedServer();
let name: string;
let key: string;
let url: string;

beforeEach(() => {
  name = namespace();
  key = `{${name}}:report`;
  url = `${server.url}?namespace=${name}&maxTtl=${maxTtl}&durability=assumed`;
});

test("the leader's write is applied; a former leader's is not, however late it arrives", async () => {
  const [a, b] = [await candidate(url), await candidate(url)];
  const store = plain(server.port);
  const bid = a.bid("x");
  const old = { namespace: name, election: "x", token: tokenOf(await a.claim(bid)) };
  expect(await guardedSet(store, old, key, "by a")).toBe(true);
  await a.session.release([bid], call());
  expect(await guardedSet(store, old, key, "between")).toBe(false);
  const present = { ...old, token: tokenOf(await b.claim(b.bid("x"))) };
  expect(await guardedSet(store, old, key, "late")).toBe(false);
  expect(await guardedSet(store, present, key, "by b")).toBe(true);
  expect(await store.get(key)).toBe("by b");
  await store.del(key);
});

test("G-20 an earlier term of the same candidate is over too", async () => {
  const a = await candidate(url);
  const store = plain(server.port);
  const bid = a.bid("x");
  const first = { namespace: name, election: "x", token: tokenOf(await a.claim(bid)) };
  await a.session.release([bid], call());
  tokenOf(await a.claim(a.bid("x")));
  expect(await guardedSet(store, first, key, "late")).toBe(false);
});

test("a leader whose session is dead has no effect, before anybody succeeds it", async () => {
  const a = await candidate(url);
  const store = plain(server.port);
  const term = { namespace: name, election: "x", token: tokenOf(await a.claim(a.bid("x"))) };
  await store.del(`elect:{${name}}:s:${a.session.id}`);
  expect(await guardedSet(store, term, key, "late")).toBe(false);
  expect(await guardedSet(store, { ...term, election: "never held" }, key, "late")).toBe(false);
});

test("any script, with its keys, arguments, value and errors", async () => {
  const client = plain(server.port, { keyPrefix: `${name}:` });
  const a = await candidate({ client, namespace: name, maxTtl, durability: "assumed" });
  const term = { namespace: name, election: "x", token: tokenOf(await a.claim(a.bid("x"))) };
  const script =
    "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return {KEYS[1], #KEYS, #ARGV, ARGV[2]} -- done";
  const done = await guardedEval(client, term, { script, keys: [key], args: ["field", 7] });
  expect(done).toEqual({ applied: true, value: [`${name}:${key}`, 1, 2, "7"] });
  await expect(
    guardedEval(client, term, { script: "return redis.call('GET', KEYS[1])", keys: [key] }),
  ).rejects.toThrow(/WRONGTYPE/);
  expect(await guardedEval(client, term, { script: "return nil", keys: [] })).toEqual({
    applied: true,
    value: null,
  });
  await client.del(key);
});
