import { channel } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { publish } from "../src/diagnostics.ts";
import { failure, silence } from "./kit/scripted-store.ts";
import { elected, stage, ttl, watched } from "./kit/stage.ts";

const names = ["session", "proof", "term", "trouble", "listener"] as const;
const messages: [string, Record<string, unknown>][] = [];
const listeners = names.map((name) => {
  const listen = (message: unknown): void => void messages.push([name, message as Record<string, unknown>]);
  return { name: `elect:${name}`, listen };
});

beforeEach(() => {
  messages.length = 0;
  for (const { name, listen } of listeners) channel(name).subscribe(listen);
});
afterEach(() => {
  for (const { name, listen } of listeners) channel(name).unsubscribe(listen);
});

const of = (name: string): Record<string, unknown>[] =>
  messages.filter(([channelName]) => channelName === name).map(([, message]) => message);

describe("diagnostics channels", () => {
  it("elect:session says when a session began and ended, its granted TTL and the operator's warnings", async () => {
    const on = stage();
    on.store.terms.ttlMs = 5_000;
    on.store.terms.warnings = ["Turn persistence on."];
    const election = on.elect();
    await (await elected(on, election)).resign();
    await election.close();
    const session = on.store.session.id;
    const store = on.store.address;
    expect(of("session")).toEqual([
      { store, session, ttl: 5_000, event: "opened", warnings: ["Turn persistence on."] },
      { store, session, ttl: 5_000, event: "ended", reason: "unneeded", warnings: ["Turn persistence on."] },
    ]);
  });

  it("elect:proof says how long each proof took and what came of it", async () => {
    const on = stage();
    await elected(on, on.elect());
    const proof = on.store.hold("prove");
    const dead = { kind: "dead", reason: "an operator ended it" } as const;
    void proof.asked.then(() => on.clock.timer(40, () => proof.answer(dead)));
    await on.clock.advance(ttl * 0.4);
    expect(of("proof")[0]).toMatchObject({ store: on.store.address, took: 40, outcome: "dead" });
    expect(of("session").at(-1)).toMatchObject({ event: "ended", reason: "an operator ended it" });
  });

  it("elect:proof carries the error of one that failed; elect:trouble says during what", async () => {
    const on = stage();
    await elected(on, on.elect());
    on.store.answers.prove = failure;
    await on.clock.advance(ttl * 0.37);
    expect(of("proof")[0]).toMatchObject({ outcome: "unknown", error: new Error("the link broke") });
    expect(of("trouble")[0]).toEqual({
      store: on.store.address,
      during: "prove",
      error: new Error("the link broke"),
    });
  });

  it("elect:term says elected, overdue and lost, once each", async () => {
    const on = stage();
    const election = on.elect("report", { id: "me", drainTimeout: 100 });
    const stop = new AbortController();
    const work = Promise.withResolvers<void>();
    const run = watched(election.run(() => work.promise, { signal: stop.signal }));
    await on.clock.advance(0);
    stop.abort(new Error("shutting down"));
    await on.clock.advance(5_000);
    work.resolve();
    await on.clock.advance(0);
    const term = { store: on.store.address, election: "report", candidate: "me", token: 1n };
    expect(of("term")).toEqual([
      { ...term, event: "elected" },
      { ...term, event: "overdue" },
      { ...term, event: "lost", reason: "aborted" },
    ]);
    expect(run.state).toBe("rejected");
  });

  it.each(["open", "claim", "release", "end", "close"] as const)(
    "elect:trouble says so when %s fails, and no promise of the user's is left hanging",
    async (operation) => {
      const on = stage();
      on.store.hold(operation).fail();
      const election = on.elect();
      const campaign = watched(election.campaign());
      await on.clock.advance(1_000);
      expect(campaign.state).toBe("resolved");
      void campaign.value?.resign();
      await on.clock.advance(1_000);
      const closed = watched(on.backend.close());
      await on.clock.advance(10_000);
      expect(closed.state).toBe("resolved");
      expect(of("trouble").map(({ during }) => during)).toEqual([operation]);
    },
  );

  it("elect:trouble: observing goes on after a failure", async () => {
    const on = stage();
    on.store.hold("read").fail();
    const seen = on.elect().observe();
    const first = watched(seen.next());
    await on.clock.advance(200);
    expect(first.value).toEqual({ done: false, value: null });
    expect(of("trouble")).toMatchObject([{ during: "observe" }]);
    await seen.return();
  });

  it("a call that hangs is in trouble when its time is up", async () => {
    const on = stage();
    on.store.answers.open = silence;
    void on.elect().campaign();
    await on.clock.advance(1_500);
    expect(of("trouble")).toMatchObject([{ during: "open", error: { message: "no answer within 1500 ms" } }]);
  });
});

it("nothing is built for nobody", () => {
  for (const { name, listen } of listeners) channel(name).unsubscribe(listen);
  publish("term", () => expect.fail("built"));
});
