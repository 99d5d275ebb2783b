/**
 * RD-1: the server's clock is set while somebody leads. Only the server's: a library that is preloaded into it stands
 * between it and the kernel (clock-step.c). Its expiry, its TIME and its uptime go by that clock; we do not.
 */

import { execFile } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createElection, type Election } from "@elect/core";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { guardedSet, redis } from "../src/index.ts";
import { candidate, namespace, ownServer, pass, plain, tokenOf } from "./support.ts";

const hour = 3600;
/** Long, so that a step and what follows it fit between two proofs on a slow machine, too. */
const maxTtl = 15_000;
const patience = 60_000;
const library = await build();

beforeEach(({ skip }) => {
  if (library === null) skip("there is no C compiler (cc) to build the clock that can be set");
});

describe.each(["redis", "valkey"] as const)("RD-1 the clock of %s is set", { timeout: patience }, (kind) => {
  test("forward by more than is left of a lease: others may lead at once; the leader is told by its next proof, and its guarded writes fail before that", async ({
    annotate,
  }) => {
    const { url, port, name, setForward } = await settable(kind);
    const ends: string[] = [];
    const hear = (message: unknown): void => {
      const { store, event, reason } = message as Record<"store" | "event" | "reason", string>;
      if (event === "ended" && store.includes(`:${port}/`)) ends.push(reason);
    };
    subscribe("elect:session", hear);
    onTestFinished(() => void unsubscribe("elect:session", hear));
    const [leader, rival] = [elector(url), elector(url)];
    const term = await leader.campaign();
    const lost = new Promise<{ reason: string; at: number }>((resolve) =>
      leader.on("lost", ({ reason }) => resolve({ reason, at: performance.now() })),
    );

    await setForward(hour);
    const next = await rival.campaign();
    const elected = performance.now();
    expect(next.token).toBeGreaterThan(term.token);
    // The declared limit: two valid terms. What they write is told apart by their tokens.
    expect(term.isValid()).toBe(true);
    const store = plain(port);
    const key = `{${name}}:report`;
    const write = async ({ token }: { token: bigint }, by: string): Promise<boolean> =>
      guardedSet(store, { namespace: name, election: "x", token }, key, by);
    expect([await write(next, "rival"), await write(term, "leader")]).toEqual([true, false]);

    const { reason, at } = await lost;
    await annotate(`two valid terms for ${Math.round(at - elected)} ms, with a proof every ${maxTtl / 3} ms`);
    // Not "expired": a proof told, well before the deadline.
    expect(reason).toBe("session-ended");
    expect(ends).toEqual([expect.stringMatching(/its lease ran out: .* last proof was 3\d{6} ms ago/)]);
    expect([next.isValid(), await store.get(key)]).toEqual([true, "rival"]);
    await Promise.all([term.resign(), next.resign()]);
  });

  test("forward by less: the next proof makes up for it, and nobody is deposed", async () => {
    const { url, port, name, setForward } = await settable(kind);
    const [a, b] = [await candidate(url, { ttl: maxTtl }), await candidate(url, { ttl: maxTtl })];
    const bid = a.bid("x", "a");
    const token = tokenOf(await a.claim(bid));
    await setForward(4);
    const store = plain(port);
    const left = await store.pttl(`elect:{${name}}:s:${a.session.id}`);
    expect(left).toBeLessThanOrEqual(maxTtl - 4000);
    expect(await b.claim(b.bid("x"))).toMatchObject({ kind: "held", by: { id: "a", token } });
    expect(await a.prove(bid)).toMatchObject({ kind: "alive", lost: [] });
    expect(await store.pttl(`elect:{${name}}:s:${a.session.id}`)).toBeGreaterThan(left);
  });

  test("back: a dead leader is taken over within a TTL all the same, with a greater token", async () => {
    const { url, port, name, setForward } = await settable(kind);
    const [a, b] = [await candidate(url, { ttl: 1000 }), await candidate(url, { ttl: maxTtl })];
    expect(await a.prove()).toMatchObject({ kind: "alive" });
    await setForward(-hour);
    const token = tokenOf(await a.claim(a.bid("x")));
    expect(await plain(port).pttl(`elect:{${name}}:s:${a.session.id}`)).toBeGreaterThan(3_500_000);
    const bid = b.bid("x");
    const answer = await b.claim(bid);
    if (answer.kind !== "held" || answer.retryInMs === null) throw new Error("not held");
    expect(answer.retryInMs).toBeLessThanOrEqual(1001);
    await pass(answer.retryInMs);
    expect(tokenOf(await b.claim(bid))).toBeGreaterThan(token);
  });

  test("forward while it elects nobody, as it may have forgotten: that time is cut short, too", async () => {
    const { url, setForward } = await settable(kind, "no");
    const a = await candidate(url, { ttl: maxTtl });
    expect(await a.claim(a.bid("x"))).toMatchObject({ kind: "held", by: null });
    await setForward(hour);
    const b = await candidate(url, { ttl: maxTtl });
    tokenOf(await b.claim(b.bid("x")));
  });

  test("back and forth between two looks at it: no lease is over, and none comes back", async () => {
    const { url, setForward } = await settable(kind);
    const [a, b] = [await candidate(url, { ttl: maxTtl }), await candidate(url, { ttl: maxTtl })];
    const [x, y] = [a.bid("x", "a"), b.bid("y", "b")];
    tokenOf(await a.claim(x));
    tokenOf(await b.claim(y));
    await setForward(hour);
    // Only b is looked at while its lease is over by the clock.
    expect(await b.prove(y)).toMatchObject({ kind: "dead" });
    await setForward(0);
    expect(await b.prove(y)).toMatchObject({ kind: "dead" });
    const c = await candidate(url);
    tokenOf(await c.claim(c.bid("y")));
  });
});

interface Settable {
  readonly url: string;
  readonly port: number;
  readonly name: string;
  /** Counted from the true time; negative is back. */
  setForward(seconds: number): Promise<void>;
}

async function settable(kind: "redis" | "valkey", appendonly: "always" | "no" = "always"): Promise<Settable> {
  const preload = "/tmp/clock-step.so";
  const server = await ownServer({ kind, appendonly, environment: { LD_PRELOAD: preload } });
  await server.container.copyContentToContainer([{ content: library!, target: preload, mode: 0o644 }]);
  await server.restart();
  const store = plain(server.port);
  const ahead = async (): Promise<number> => {
    const [seconds = Number.NaN] = await store.time();
    return Number(seconds) - Date.now() / 1000;
  };
  const name = namespace();
  return {
    url: `${server.url}?namespace=${name}&maxTtl=${maxTtl}${appendonly === "always" ? "&durability=assumed" : ""}`,
    port: server.port,
    name,
    setForward: async (seconds) => {
      await server.exec("sh", "-c", `echo ${seconds} > /tmp/clock-step`);
      expect(Math.abs((await ahead()) - seconds)).toBeLessThan(2);
    },
  };
}

function elector(url: string): Election {
  const backend = redis(url);
  onTestFinished(() => backend.close());
  return createElection({ backend, name: "x", ttl: maxTtl });
}

/** `null`: nothing to build it with. */
async function build(): Promise<Buffer | null> {
  const run = promisify(execFile);
  if (
    !(await run("cc", ["--version"]).then(
      () => true,
      () => false,
    ))
  )
    return null;
  const directory = await mkdtemp(join(tmpdir(), "elect-clock-"));
  try {
    const target = join(directory, "clock-step.so");
    await run("cc", ["-shared", "-fPIC", "-O2", "-o", target, join(import.meta.dirname, "clock-step.c")]);
    return await readFile(target);
  } finally {
    await rm(directory, { recursive: true });
  }
}
