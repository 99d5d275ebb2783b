import { channel } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { ListenerMessage } from "../src/diagnostics.ts";
import { elected, journal, settle, stage, validFor } from "./kit/stage.ts";

const heard: ListenerMessage[] = [];
const listen = (message: unknown): void => void heard.push(message as ListenerMessage);

beforeEach(() => {
  heard.length = 0;
  channel("elect:listener").subscribe(listen);
});
afterEach(() => {
  channel("elect:listener").unsubscribe(listen);
});

describe("events", () => {
  it("each term says elected once and lost once, in that order, with its states around them", async () => {
    const on = stage();
    const election = on.elect();
    const says = journal(election);
    const term = await elected(on, election);
    await term.resign();
    expect(says).toEqual([
      "idle > campaigning",
      "campaigning > leading",
      "elected 1",
      "leading > draining",
      "lost 1 resigned",
      "draining > idle",
    ]);
  });

  it("P9, G-12: a listener that throws harms nothing, and is reported", async () => {
    const on = stage();
    const election = on.elect();
    const thrown = new Error("a listener's own");
    for (const event of ["state", "elected", "lost"] as const)
      election.on(event, () => {
        throw thrown;
      });
    const says = journal(election);
    const term = await elected(on, election);
    await term.resign();
    expect(says.filter((line) => !line.includes(">"))).toEqual(["elected 1", "lost 1 resigned"]);
    await settle();
    expect(heard).toHaveLength(6);
    expect(heard[0]).toEqual({ election: "nightly-report", event: "state", error: thrown });
  });

  it("G-12: an async listener that rejects is reported too, and is nobody's unhandled rejection", async () => {
    const on = stage();
    const election = on.elect();
    const thrown = new Error("a listener's own, later");
    election.on("elected", async () => {
      await settle();
      throw thrown;
    });
    await elected(on, election);
    await settle();
    await settle();
    expect(heard).toEqual([{ election: "nightly-report", event: "elected", error: thrown }]);
  });

  it("a listener may be taken off, from inside too, and the same function may listen twice", async () => {
    const on = stage();
    const election = on.elect();
    const lines: string[] = [];
    const note = (): void => void lines.push("noted");
    const offFirst = election.on("elected", note);
    election.on("elected", note);
    const offItself = election.on("elected", () => {
      lines.push("once");
      offItself();
    });
    offFirst();
    offFirst();
    for (let round = 0; round < 2; round++) await (await elected(on, election)).resign();
    expect(lines).toEqual(["noted", "once", "noted"]);
  });

  it("what a listener does is taken after what it hears of: resigning inside elected", async () => {
    const on = stage();
    const election = on.elect();
    election.on("elected", ({ term }) => void term.resign());
    const says = journal(election);
    const term = await elected(on, election);
    expect(term.isValid()).toBe(false);
    expect(says.filter((line) => !line.includes(">"))).toEqual(["elected 1", "lost 1 resigned"]);
    expect(election.state).toBe("idle");
  });

  it("C3: when time is up the term is over before anybody hears of it, its signal before `lost`", async () => {
    const on = stage();
    const election = on.elect();
    const term = await elected(on, election);
    const order: unknown[] = [];
    term.signal.addEventListener("abort", () => order.push(["signal", term.isValid()]));
    election.on("state", ({ to }) => void order.push([to, term.isValid()]));
    election.on("lost", () => void order.push(["lost", term.isValid(), election.state]));
    on.store.answers.prove = () => new Promise(() => {});
    await on.clock.advance(validFor);
    expect(order.slice(-3)).toEqual([
      ["idle", false],
      ["signal", false],
      ["lost", false, "idle"],
    ]);
  });
});
