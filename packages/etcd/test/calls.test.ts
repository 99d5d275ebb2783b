import { describe, expect, test } from "vitest";
import { bid, call, callUntil, nonce, proxyTo, store, target, tokenOf } from "./support.ts";

describe("a call", () => {
  test("is over when its signal aborts; the next one connects again, to the same session", async () => {
    const etcd = store();
    const proxy = await proxyTo();
    const a = await etcd.process({ hosts: `127.0.0.1:${proxy.port}` });
    const request = bid("a");
    const token = tokenOf(await a.claim(request));
    proxy.silence();
    const giveUp = new AbortController();
    const proof = a.session.prove(new Map(), callUntil(giveUp.signal));
    giveUp.abort(new Error("enough"));
    await expect(proof).rejects.toThrow("enough");
    proxy.heal();
    expect(await a.prove(request)).toMatchObject({ kind: "alive", lost: [] });
    expect(proxy.opened).toBe(2);
    expect(tokenOf(await a.claim(request))).toBe(token);
  });

  test("does nothing with a signal that has aborted", async () => {
    const etcd = store();
    const a = await etcd.process();
    await expect(
      a.session.claim([bid("a")], callUntil(AbortSignal.abort(new Error("before")))),
    ).rejects.toThrow("before");
    expect(await etcd.kept("a")).toEqual([]);
  });

  test("G-28: passes over hosts that refuse connections, at once", async () => {
    const etcd = store();
    const a = await etcd.process({
      hosts: ["127.0.0.1:1", `127.0.0.1:${target.port}`, "127.0.0.1:2"],
      nonce: "00000002".padEnd(32, "0"),
    });
    expect(await a.prove()).toMatchObject({ kind: "alive" });
  });

  test("names the host, and no credentials, when nothing is there", async () => {
    const etcd = store();
    const adapter = etcd.adapter({ hosts: "127.0.0.1:1", username: "alice", password: "sesame" });
    const failure: unknown = await adapter.read("a", call()).catch((error: unknown) => error);
    expect(String(failure)).toMatch(/etcd at 127\.0\.0\.1:1: .*ECONNREFUSED/);
    expect(String(failure)).not.toMatch(/sesame|alice/);
  });
});

describe("an observer", () => {
  test("is told of every change of leader, and reads it with its token", async () => {
    const etcd = store();
    const a = await etcd.process();
    const observer = etcd.adapter();
    let tell = (): void => {};
    const changed = () => new Promise<void>((resolve) => (tell = resolve));
    const first = changed();
    const watch = await observer.watch("a", () => tell(), call());
    await first;
    expect(await observer.read("a", call())).toBeNull();
    const request = bid("a", nonce(), "someone");
    const elected = changed();
    const token = tokenOf(await a.claim(request));
    await elected;
    expect(await observer.read("a", call())).toEqual({ id: "someone", token, metadata: '{"of":"someone"}' });
    const gone = changed();
    await a.session.release([request], call());
    await gone;
    expect(await observer.read("a", call())).toBeNull();
    watch.close();
  });

  test("takes a key without a lease, which somebody else has put there, for nobody; a claim takes its place", async () => {
    const etcd = store();
    await etcd.etcd.put(etcd.keys.leader("a")).value("me, says an operator");
    const a = await etcd.process();
    expect(await a.adapter.read("a", call())).toBeNull();
    const token = tokenOf(await a.claim(bid("a")));
    expect(await a.adapter.read("a", call())).toMatchObject({ token });
  });

  test("sees elections apart whose names look alike, or like keys", async () => {
    const etcd = store();
    const a = await etcd.process();
    const names = ["a", "a/leader", "a/queue/b", "A", "a b", "ä", "%61", "a\u{1f389}"];
    for (const name of names) tokenOf(await a.claim(bid(name, nonce(), `of ${name}`)));
    for (const name of names) {
      expect(await a.adapter.read(name, call())).toMatchObject({ id: `of ${name}` });
      expect(await a.adapter.candidates(name, call())).toMatchObject([{ id: `of ${name}` }]);
    }
  });
});
