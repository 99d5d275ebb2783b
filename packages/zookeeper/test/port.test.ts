/** The rules of the port, one by one, each forced at its exact point against a real server. */

import { InvalidOptionError } from "@elect/core/adapter";
import { describe, expect, test } from "vitest";
import { encodeName } from "../src/paths.ts";
import { bid, call, claim, granted, nonce, proxied, store, target } from "./support.ts";

const none: ReadonlyMap<string, never> = new Map<string, never>();

describe("a session", () => {
  test("tells what the server negotiated, and which store this is", async () => {
    const zk = store();
    const [a, b] = [await zk.open({ ttlMs: 5_000 }), await zk.open({ ttlMs: 600 })];
    expect(a.session.ttlMs).toBe(5_000);
    expect(b.session.ttlMs, "rounded up to two ticks of the server").toBeGreaterThanOrEqual(600);
    expect(a.session.proofLagMs).toBe(a.session.ttlMs / 4);
    expect(a.session.id).not.toBe(b.session.id);
    expect(a.session.store).toBe(b.session.store);
    expect(a.session.poll).toBeNull();
  });

  test("proves itself by a write, and needs no timer of its own to live", async () => {
    const zk = store();
    const { session, nonce: own } = await zk.open();
    const operator = await zk.operator();
    const before = await operator.read(zk.paths.session(own));
    await expect(session.prove(none, call())).resolves.toEqual({
      kind: "alive",
      ttlMs: 5_000,
      covers: "all",
      lost: [],
    });
    const after = await operator.read(zk.paths.session(own));
    expect(after!.stat.version).toBe(before!.stat.version + 1);
  });

  test("S1: is dead once ended, whoever ended it, and no proof or claim brings it back", async () => {
    const zk = store();
    const { session, heard, nonce: own } = await zk.open();
    await granted(session, bid("a"));
    await zk.adapter().end(session.ticket, call());
    await heard.next("doubt");
    await expect(session.prove(none, call())).resolves.toMatchObject({ kind: "dead" });
    await heard.next("ended");
    await expect(session.claim([bid("a")], call())).rejects.toThrow(/ended the session/);
    const operator = await zk.operator();
    expect(await operator.read(zk.paths.session(own))).toBeNull();
    expect(await operator.read(zk.paths.leader("a"))).toBeNull();
  });

  test("S1: whose proof was held up until it was dead is not brought back by it", async () => {
    const zk = store();
    const { proxy, url } = await proxied();
    const { session, nonce: own } = await zk.open({ url });
    await granted(session, bid("a"));
    const path = zk.paths.session(own);
    const sent = proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes(path), "hold");
    const proof = session.prove(none, call());
    proof.catch(() => {});
    await sent.seen;
    await zk.adapter().end(session.ticket, call());
    proxy.heal();
    await expect(proof.then(({ kind }) => kind)).rejects.toThrow(/No connection|was lost/);
    await expect(session.prove(none, call())).resolves.toMatchObject({ kind: "dead" });
    expect(await (await zk.operator()).read(path)).toBeNull();
  });

  test("S1, S5: whose node an operator deleted is reported dead and not made again", async () => {
    const zk = store();
    const { session, nonce: own } = await zk.open();
    const operator = await zk.operator();
    await operator.remove(zk.paths.session(own));
    await expect(session.prove(none, call())).resolves.toEqual({
      kind: "dead",
      reason: "its session node was deleted",
    });
    expect(await operator.read(zk.paths.session(own))).toBeNull();
  });

  test("S5: whose generation node was deleted can claim nothing and says so", async () => {
    const zk = store();
    const { session, heard, nonce: own } = await zk.open();
    await (await zk.operator()).remove(zk.paths.generation(own));
    expect(await claim(session, bid("a"))).toMatchObject({ kind: "unknown" });
    await heard.next("ended its generation node");
  });

  test("ends in one step and frees what it held; ending twice, or by ticket afterwards, is a no-op", async () => {
    const zk = store();
    const [a, b] = [await zk.open(), await zk.open()];
    await granted(a.session, bid("a"));
    expect(await claim(b.session, bid("a"))).toMatchObject({ kind: "held" });
    await a.session.end(call());
    await b.heard.next("hint a");
    await zk.adapter().end(a.session.ticket, call());
    await expect(zk.adapter().end("nonsense", call())).rejects.toThrow(InvalidOptionError);
  });

  test("abandoned, says nothing to the store, which keeps its records until the timeout", async () => {
    const zk = store();
    const { session, heard } = await zk.open();
    await granted(session, bid("a"));
    session.abandon();
    await expect(session.prove(none, call())).rejects.toThrow(/let go/);
    expect(await (await zk.operator()).read(zk.paths.leader("a"))).not.toBeNull();
    expect(heard.all).toEqual([]);
    await zk.adapter().end(session.ticket, call());
  });
});

describe("a claim", () => {
  test("S2: returns its own record for the same nonce, and is held for any other of the same session", async () => {
    const zk = store();
    const { session } = await zk.open();
    const first = bid("a", nonce(), "first");
    const token = await granted(session, first);
    expect(await granted(session, first)).toBe(token);
    expect(await claim(session, bid("a", nonce(), "second"))).toEqual({
      kind: "held",
      by: { id: "first", metadata: `{"of":"first"}`, token },
      retryInMs: null,
      patience: null,
    });
  });

  test("S3: that reaches the server after the session's end is not granted", async () => {
    const zk = store();
    const { proxy, url } = await proxied();
    const { session } = await zk.open({ url });
    const sent = proxy.once(
      ({ direction, bytes }) => direction === "up" && bytes.includes("/a/leader"),
      "hold",
    );
    const answer = session.claim([bid("a")], call(2_000));
    answer.catch(() => {});
    await sent.seen;
    await zk.adapter().end(session.ticket, call());
    proxy.heal();
    await expect(answer.then(([only]) => only)).resolves.toMatchObject({ kind: "unknown" });
    expect(await zk.adapter().read("a", call())).toBeNull();
  });

  for (const step of ["founds the queue", "joins it", "takes over"] as const) {
    test(`S4: that ${step}, held up on its way, cannot land after it was disposed of`, async () => {
      const zk = store();
      const { proxy, url } = await proxied();
      const [a, { session, heard }] = [await zk.open(), await zk.open({ url })];
      const [first, request] = [bid("a"), bid("a")];
      if (step !== "founds the queue") await granted(a.session, first);
      if (step === "takes over") {
        await claim(session, request);
        await a.session.release([first], call());
        await heard.next("hint a");
      }
      // The multi that creates something for this nonce.
      const sent = proxy.once(
        ({ direction, bytes }) => direction === "up" && bytes.includes(`"nonce":"${request.nonce}"`),
        "hold",
      );
      const gaveUp = new AbortController();
      const answer = session.claim([request], { signal: gaveUp.signal, timeoutMs: 5_000 });
      const { connection } = await sent.seen;
      gaveUp.abort();
      await expect(answer).rejects.toThrow(/given up/);
      await session.dispose([request], call());
      expect(proxy.connections, "the one that carries it, and the next").toContain(connection);
      proxy.heal();
      // Delivered, and its connection closed by the server or by us, before we look.
      await expect.poll(() => proxy.connections).not.toContain(connection);
      await session.prove(none, call());
      const left = await zk.adapter().candidates("a", call());
      expect(left.map(({ id }) => id)).toEqual(step === "joins it" ? ["candidate"] : []);
      if (step === "joins it") await a.session.release([first], call());
      expect(await zk.adapter().read("a", call())).toBeNull();
    });
  }

  test("S4: carries its generation, and an older one is refused in the step that would grant it", async () => {
    const zk = store();
    const { session, nonce: own } = await zk.open();
    const operator = await zk.operator();
    // As if a `dispose` of ours, thought lost, had arrived late.
    await operator.setData(zk.paths.generation(own), Buffer.alloc(0));
    const request = bid("a");
    expect(await claim(session, request)).toMatchObject({ kind: "unknown" });
    expect(await operator.read(zk.paths.leader("a"))).toBeNull();
    await session.dispose([request], call());
    await granted(session, request);
  });

  test("whose reply is lost is unknown, recognises itself when retried, and is gone when disposed of", async () => {
    const zk = store();
    const { proxy, url } = await proxied();
    const [a, b] = [await zk.open({ url }), await zk.open()];
    const request = bid("a");
    proxy.once(({ direction, bytes }) => direction === "up" && bytes.includes("/a/leader"), "cut-after");
    expect(await claim(a.session, request)).toMatchObject({ kind: "unknown" });
    const { token } = (await zk.adapter().read("a", call()))!;
    expect(await granted(a.session, request)).toBe(token);

    expect(await claim(b.session, bid("a"))).toMatchObject({ kind: "held" });
    await a.session.dispose([request], call());
    await b.heard.next("hint a");
  });

  test("1,000 elections in one call, each led", async () => {
    const zk = store();
    const { session } = await zk.open({ ttlMs: 20_000 });
    const requests = Array.from({ length: 1_000 }, (_, n) => bid(`election-${n}`));
    const answers = await session.claim(requests, call(10_000));
    const tokens = answers.map((answer) => (answer.kind === "granted" ? answer.token : null));
    expect(tokens).not.toContain(null);
    expect(new Set(tokens).size).toBe(1_000);
    await session.release(requests, call(10_000));
    expect(await (await zk.operator()).children(zk.paths.elections)).toEqual([]);
  });

  test("takes any name that core allows", async () => {
    const zk = store();
    const { session, adapter } = await zk.open();
    const names = [
      ".",
      "..",
      "leader",
      "a/b",
      "a%2Fb",
      "zookeeper",
      "Größe 🚀",
      "ſ".repeat(100),
      "c-1-2",
      "a b?c#d",
    ];
    expect(new Set(names.map(encodeName)).size).toBe(names.length);
    for (const name of names) {
      await granted(session, bid(name, nonce(), name));
      expect(await adapter.read(name, call())).toMatchObject({ id: name });
    }
  });
});

describe("a call", () => {
  test("is over when its signal aborts; the session goes on with the next one", async () => {
    const zk = store();
    const { proxy, url } = await proxied();
    const { session, heard } = await zk.open({ url });
    const token = await granted(session, bid("a"));
    proxy.silence();
    await expect(session.prove(none, call(100))).rejects.toThrow(/given up/);
    await heard.next("doubt");
    await expect(session.prove(none, call(100)), "nor does a handshake outlast it").rejects.toThrow(
      /given up/,
    );
    proxy.heal();
    await expect(session.prove(none, call())).resolves.toMatchObject({ kind: "alive" });
    await heard.next("hint *");
    expect(await zk.adapter().read("a", call())).toMatchObject({ token });
    expect(heard.all.filter((event) => !event.startsWith("doubt"))).toEqual([]);
  });

  test("with a signal that has aborted sends nothing", async () => {
    const zk = store();
    const { session, nonce: own } = await zk.open();
    const operator = await zk.operator();
    const before = await operator.read(zk.paths.session(own));
    await expect(session.prove(none, { signal: AbortSignal.abort(), timeoutMs: 1 })).rejects.toThrow(
      /given up/,
    );
    await operator.sync("/");
    const after = await operator.read(zk.paths.session(own));
    expect(after!.stat.version).toBe(before!.stat.version);
  });

  test("A5.4 connect: says at once that nobody listens, and where", async () => {
    const adapter = store().adapter({ url: "zookeeper://127.0.0.1:1,127.0.0.1:2" });
    await expect(adapter.read("a", call())).rejects.toThrow(/127\.0\.0\.1:1,127\.0\.0\.1:2.*ECONNREFUSED/);
  });

  test("tries every server once", async () => {
    const zk = store();
    const adapter = zk.adapter({ url: `zookeeper://127.0.0.1:1,127.0.0.1:2,${target.host}:${target.port}` });
    expect(await adapter.read("a", call())).toBeNull();
  });
});
