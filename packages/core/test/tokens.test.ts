import { describe, expect, it } from "vitest";

import { TokenRegressionError } from "../src/errors.ts";
import { regression, sawToken } from "../src/tokens.ts";
import { granted, held } from "./kit/scripted-store.ts";
import { journal, stage, watched } from "./kit/stage.ts";

let stores = 0;
const newStore = (): string => `tokens-${++stores}`;

describe("tokens that this process knows of", () => {
  it("a grant below what was seen is a regression, and is not remembered", () => {
    const store = newStore();
    sawToken(store, "report", 10n);
    expect(regression(store, "report", 9n)).toBe(10n);
    expect(regression(store, "report", 11n)).toBeNull();
    expect(regression(store, "report", 12n)).toBeNull();
  });

  it("a token granted here twice is a regression", () => {
    const store = newStore();
    expect(regression(store, "report", 5n)).toBeNull();
    expect(regression(store, "report", 5n)).toBe(5n);
  });

  it("our own grant, seen by another session of the process before it reaches us, is none", () => {
    const store = newStore();
    sawToken(store, "report", 5n);
    expect(regression(store, "report", 5n)).toBeNull();
  });

  it("elections and stores have nothing to do with each other", () => {
    const [one, other] = [newStore(), newStore()];
    sawToken(one, "report", 100n);
    expect(regression(one, "cleaner", 1n)).toBeNull();
    expect(regression(other, "report", 1n)).toBeNull();
  });

  it("what was seen never goes down, and nothing is lost above 2⁵³", () => {
    const store = newStore();
    const high = 2n ** 63n - 2n;
    sawToken(store, "report", high);
    sawToken(store, "report", 3n);
    expect(regression(store, "report", high - 1n)).toBe(high);
    expect(regression(store, "report", high + 1n)).toBeNull();
  });
});

describe("G-27: a store restored from a backup", () => {
  it("the candidate refuses to lead, gives the record back, and says what to do", async () => {
    const { clock, store, elect } = stage();
    const election = elect();
    const says = journal(election);
    store.answers.claim = async () => [held({ by: { id: "other", token: 41n, metadata: "null" } })];
    const campaign = watched(election.campaign());
    await clock.advance(0);

    store.answers.claim = async () => [granted(7n)];
    store.session.events.hint(null);
    await clock.advance(0);

    expect(campaign.reason).toBeInstanceOf(TokenRegressionError);
    expect(String(campaign.reason)).toMatch(/minted token 7 after 41/);
    expect(says).toEqual(["idle > campaigning", "campaigning > idle"]);
    expect(store.of("release")).toHaveLength(1);
    expect(election.state).toBe("idle");
    await election.close();
    expect(clock.timers).toBe(0);
  });

  it("a new backend on the same store still knows", async () => {
    const first = stage();
    const lead = first.elect();
    first.store.answers.claim = async () => [granted(50n)];
    await (await lead.campaign()).resign();
    await lead.close();

    const second = stage();
    Object.assign(second.store, { id: first.store.id });
    second.store.answers.claim = async () => [granted(50n)];
    await expect(second.elect().campaign()).rejects.toThrow(TokenRegressionError);
  });

  it("C2: the same candidate that leads again has a greater token each time", async () => {
    const { elect } = stage();
    const election = elect();
    let last = 0n;
    for (let round = 0; round < 50; round++) {
      const term = await election.campaign();
      expect(term.token).toBeGreaterThan(last);
      last = term.token;
      await term.resign();
    }
  });
});
