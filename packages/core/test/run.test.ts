import { describe, expect, it } from "vitest";

import { ClosedError, NotLeaderError } from "../src/errors.ts";
import type { Term } from "../src/term.ts";
import { silence } from "./kit/scripted-store.ts";
import { journal, settle, stage, ttl, validFor, watched, type Stage } from "./kit/stage.ts";

/** Work that the test ends. */
class Work {
  readonly terms: Term[] = [];
  running = 0;
  most = 0;
  #settle: PromiseWithResolvers<string> = Promise.withResolvers();

  readonly start = async (term: Term): Promise<string> => {
    this.terms.push(term);
    this.running += 1;
    this.most = Math.max(this.most, this.running);
    this.#settle = Promise.withResolvers();
    try {
      return await this.#settle.promise;
    } finally {
      this.running -= 1;
    }
  };

  get term(): Term {
    const term = this.terms.at(-1);
    if (term === undefined) throw new Error("no work was begun");
    return term;
  }

  returns(value: string): void {
    this.#settle.resolve(value);
  }

  throws(error: unknown): void {
    this.#settle.reject(error);
  }
}

/** An election whose work is running. */
async function running(on: Stage, signal?: AbortSignal) {
  const election = on.elect();
  const work = new Work();
  const says = journal(election);
  const run = watched(election.run(work.start, { signal }));
  await on.clock.advance(0);
  expect(work.running).toBe(1);
  return { election, work, says, run };
}

describe("run(): how it ends", () => {
  it("with what the work returns, after the record was given back", async () => {
    const on = stage();
    const { work, run, says } = await running(on);
    const release = on.store.hold("release");
    work.returns("done");
    await release.asked;
    await settle();
    expect(run.state).toBe("pending");
    release.answer(undefined);
    await settle();
    expect(run.value).toBe("done");
    expect(says.filter((line) => line.startsWith("lost"))).toEqual(["lost 1 resigned"]);
  });

  it("with the work's own error, untouched, after the record was given back", async () => {
    const on = stage();
    const { work, run } = await running(on);
    const own = { not: "even an Error" };
    work.throws(own);
    await settle();
    expect(run.reason).toBe(own);
    expect(on.store.of("release")).toHaveLength(1);
  });

  it("work that throws synchronously is work that rejects", async () => {
    const on = stage();
    const own = new Error("own");
    const throwing = (): never => {
      throw own;
    };
    await expect(on.elect().run(throwing)).rejects.toBe(own);
  });

  it("work that is not async is fine", async () => {
    expect(
      await stage()
        .elect()
        .run((term) => term.token),
    ).toBe(1n);
  });

  it("P6: abort → the term's signal → the work is awaited → released → the signal's reason", async () => {
    const on = stage();
    const stop = new AbortController();
    const { election, work, says, run } = await running(on, stop.signal);
    const reason = { any: "value" };
    stop.abort(reason);
    expect(work.term.signal.aborted).toBe(true);
    expect(work.term.signal.reason).toMatchObject({ reason: "aborted" });
    expect(work.term.isValid()).toBe(true);
    expect(election.state).toBe("draining");
    await settle();
    expect(on.store.of("release")).toEqual([]);
    expect(run.state).toBe("pending");
    const release = on.store.hold("release");
    work.returns("the last words");
    await release.asked;
    expect(work.term.isValid()).toBe(false);
    expect(run.state).toBe("pending");
    release.answer(undefined);
    await settle();
    expect(run.reason).toBe(reason);
    expect(says.filter((line) => line.startsWith("lost"))).toEqual(["lost 1 aborted"]);
  });

  it("with the signal's reason while it waits for another leader, or has not begun", async () => {
    const on = stage();
    on.store.answers.claim = async () => [{ kind: "held", by: null, retryInMs: null, patience: null }];
    const stop = new AbortController();
    const run = watched(on.elect().run(() => expect.fail("began"), { signal: stop.signal }));
    await settle();
    stop.abort("enough");
    await settle();
    expect(run.reason).toBe("enough");
    await expect(on.elect().run(() => {}, { signal: AbortSignal.abort("before") })).rejects.toBe("before");
  });

  it("aborted in the moment between being elected and beginning, the work never begins", async () => {
    const on = stage();
    const stop = new AbortController();
    const election = on.elect();
    election.on("elected", () => stop.abort("now"));
    const run = watched(election.run(() => expect.fail("began"), { signal: stop.signal }));
    await settle();
    expect(run.reason).toBe("now");
    expect(on.store.of("release")).toHaveLength(1);
  });

  it("with a ClosedError when the election is closed", async () => {
    const on = stage();
    const { election, work, run } = await running(on);
    const closed = watched(election.close());
    expect(work.term.signal.reason).toMatchObject({ reason: "closed" });
    await settle();
    expect(closed.state).toBe("pending");
    work.returns("");
    await settle();
    expect(closed.value).toEqual({ remains: [] });
    expect(run.reason).toBeInstanceOf(ClosedError);
  });

  it("the work's own error counts more than the abort or the close that came with it", async () => {
    const on = stage();
    const stop = new AbortController();
    const { work, run } = await running(on, stop.signal);
    stop.abort("enough");
    work.throws(new Error("could not tidy up"));
    await settle();
    expect(run.reason).toEqual(new Error("could not tidy up"));
  });
});

describe("run(): a lost term", () => {
  it("P6: waits for the work, however long it takes, and never runs two works at once; then campaigns again", async () => {
    const on = stage();
    const { work, says, run } = await running(on);
    on.store.session.events.ended("over");
    expect(work.term.signal.aborted).toBe(true);
    await on.clock.advance(ttl * 10);
    expect(work.terms).toHaveLength(1);
    work.throws(new Error("aborted", { cause: work.term.signal.reason }));
    await on.clock.advance(0);
    expect(work.terms).toHaveLength(2);
    expect(work.most).toBe(1);
    expect(work.term.isValid()).toBe(true);
    expect(work.term.token).toBe(2n);
    expect(run.state).toBe("pending");
    expect(says.filter((line) => /^(lost|elected)/.test(line))).toEqual([
      "elected 1",
      "lost 1 session-ended",
      "elected 2",
    ]);
  });

  it("G-3: also after a silent link, with a greater token each time", async () => {
    const on = stage();
    const { work } = await running(on);
    const { prove } = on.store.answers;
    for (let outage = 1; outage <= 5; outage++) {
      on.store.answers.prove = silence;
      await on.clock.advance(ttl * 1.5);
      expect(work.term.signal.aborted).toBe(true);
      on.store.answers.prove = prove;
      work.throws(work.term.signal.reason);
      await on.clock.advance(0);
      expect(work.term.token).toBe(BigInt(outage + 1));
    }
    expect(work.most).toBe(1);
  });

  const consequences: [string, (term: Term) => unknown][] = [
    ["the signal's reason", (term): unknown => term.signal.reason],
    ["an AbortError of a library", () => new DOMException("aborted", "AbortError")],
    ["what assertValid() throws", (term) => caught(() => term.assertValid())],
    ["an error caused by it", (term) => new Error("job failed", { cause: term.signal.reason })],
  ];
  it.each(consequences)("work that throws %s has no error of its own", async (_, error) => {
    const on = stage();
    const { work, run } = await running(on);
    on.store.session.events.ended("over");
    work.throws(error(work.term));
    await on.clock.advance(0);
    expect(run.state).toBe("pending");
    expect(work.terms).toHaveLength(2);
  });

  it("work that fails for a reason of its own after the loss: run() fails with that", async () => {
    const on = stage();
    const { work, run } = await running(on);
    on.store.session.events.ended("over");
    work.throws(new TypeError("own"));
    await on.clock.advance(0);
    expect(run.reason).toEqual(new TypeError("own"));
  });

  it("a NotLeaderError of another term is an error of its own while the term lasts", async () => {
    const on = stage();
    const { work, run } = await running(on);
    const other = new NotLeaderError("other", 1n, "expired", "another election");
    work.throws(other);
    await on.clock.advance(0);
    expect(run.reason).toBe(other);
  });

  it("work that returns after the loss has not done its job as leader: it is run again", async () => {
    const on = stage();
    const { work, run } = await running(on);
    on.clock.freeze(validFor);
    work.returns("too late");
    await on.clock.advance(0);
    expect(run.state).toBe("pending");
    expect(work.terms).toHaveLength(2);
  });

  it("lost while draining: run() ends as it was told to", async () => {
    const on = stage();
    const stop = new AbortController();
    const { work, run, says } = await running(on, stop.signal);
    stop.abort("enough");
    on.store.session.events.ended("over");
    expect(work.term.isValid()).toBe(false);
    work.returns("");
    await on.clock.advance(0);
    expect(run.reason).toBe("enough");
    expect(work.terms).toHaveLength(1);
    expect(says.filter((line) => line.startsWith("lost"))).toEqual(["lost 1 session-ended"]);
  });
});

describe("run(): term.resign() inside", () => {
  it("aborts the signal and settles at once; the record goes back when the function has settled", async () => {
    const on = stage();
    const election = on.elect();
    const after = Promise.withResolvers<void>();
    let seen: boolean[] = [];
    const run = watched(
      election.run(async (term) => {
        await term.resign();
        seen = [term.signal.aborted, term.isValid(), on.store.of("release").length === 0];
        await after.promise;
        return "done";
      }),
    );
    await settle();
    expect(seen).toEqual([true, true, true]);
    expect(election.state).toBe("draining");
    after.resolve();
    await settle();
    expect(run.value).toBe("done");
    expect(on.store.of("release")).toHaveLength(1);
  });
});

function caught(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return expect.fail("nothing was thrown");
}
