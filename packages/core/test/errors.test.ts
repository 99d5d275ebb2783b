import { describe, expect, it } from "vitest";

import { connect } from "../src/connect.ts";
import { createElection, type Election } from "../src/election.ts";
import * as errors from "../src/errors.ts";
import { failure, granted, held, silence } from "./kit/scripted-store.ts";
import { elected, stage, ttl, watched } from "./kit/stage.ts";

type Code = errors.ElectErrorCode;

/** One way to meet each error as a user, and what its message must tell them. */
interface Encounter {
  readonly what: string | RegExp;
  /** Of which election, on which store: what of both is known. */
  readonly where: readonly string[];
  readonly advice: RegExp;
  meet(): Promise<unknown>;
}

const name = "nightly-report";
const pooler = new errors.RefusedError(
  "pooler",
  "a pooler in transaction mode at host:6432: connect directly",
);

function campaignOn(answer: () => ReturnType<typeof granted>): { election: Election; look(): Promise<void> } {
  const on = stage();
  on.store.answers.claim = async (requests) => requests.map(answer);
  return { election: on.elect(name), look: () => on.clock.advance(ttl) };
}

const encounters: Record<Code, Encounter> = {
  ELECT_INVALID_OPTION: {
    what: "ttl is 4000000",
    where: [`"${name}"`, "host:"],
    advice: /must be 500 to \d+ ms/,
    meet: async () => createElection({ backend: stage().backend, name, ttl: 4_000_000 }),
  },
  ELECT_ADAPTER_MISSING: {
    what: "@elect/zookeeper, which could not be loaded",
    where: [],
    advice: /run "npm install @elect\/zookeeper node-zookeeper-client"/,
    meet: async () => {
      const [, program] = process.argv;
      process.argv[1] = "/";
      return connect("zookeeper://user:secret@h1").finally(() => (process.argv[1] = program ?? ""));
    },
  },
  ELECT_REFUSED: {
    what: "a pooler in transaction mode",
    where: ["host:"],
    advice: /connect directly/,
    meet: async () => {
      const on = stage();
      on.store.hold("open").fail(pooler);
      return on.elect(name).campaign();
    },
  },
  ELECT_UNREACHABLE: {
    what: "did not say who leads",
    where: [`"${name}"`, "host:"],
    advice: /See the cause; try again later/,
    meet: async () => {
      const on = stage();
      on.store.answers.read = failure;
      const asked = watched(on.elect(name).leader());
      await on.clock.advance(5_000);
      throw asked.reason;
    },
  },
  ELECT_NOT_LEADER: {
    what: "no longer leader under token 1 (expired: ",
    where: [`"${name}"`, "host:"],
    advice: /campaign again/,
    meet: async () => {
      const on = stage();
      const term = await on.elect(name).campaign();
      on.clock.freeze(ttl);
      term.assertValid();
    },
  },
  ELECT_TOKEN_REGRESSION: {
    what: "minted token 3",
    where: [`"${name}"`, "host:"],
    advice: /raise "generation" of every candidate/,
    meet: async () => {
      const by = { id: "other", token: 9n, metadata: "null" };
      let asked = 0;
      const { election, look } = campaignOn(() => (asked++ === 0 ? held({ by }) : granted(3n)));
      const campaign = watched(election.campaign());
      await look();
      await look();
      throw campaign.reason;
    },
  },
  ELECT_BUSY: {
    what: "is leading already",
    where: [`"${name}"`, "host:"],
    advice: /create another/,
    meet: async () => {
      const { election } = campaignOn(() => granted(1n));
      await election.campaign();
      return election.campaign();
    },
  },
  ELECT_CLOSED: {
    what: "is closed",
    where: [`"${name}"`, "host:"],
    advice: /create another/,
    meet: async () => {
      const { election } = campaignOn(() => granted(1n));
      await election.close();
      return election.campaign();
    },
  },
};

async function met(encounter: Encounter): Promise<errors.ElectError> {
  const error: unknown = await encounter.meet().then(
    () => expect.fail("nothing was refused"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(errors.ElectError);
  return error as errors.ElectError;
}

describe("P13: every error says what happened, to which election, on which store, and what to do", () => {
  it.each(Object.entries(encounters))("%s", async (code, encounter) => {
    const { message, code: own, name: className } = await met(encounter);
    expect(own).toBe(code);
    expect(className).toMatch(/^[A-Z]\w+Error$/);
    expect(message).toMatch(encounter.what);
    for (const part of encounter.where) expect(message).toContain(part);
    expect(message).toMatch(encounter.advice);
    expect(message).not.toContain("secret");
  });

  it("a question that is not answered at all is unreachable too, in bounded time", async () => {
    const on = stage();
    on.store.answers.candidates = silence;
    const asked = watched(on.elect(name).candidates());
    await on.clock.advance(5_000);
    expect(asked.reason).toMatchObject({ code: "ELECT_UNREACHABLE", cause: { name: "TimeoutError" } });
    expect((asked.reason as Error).message).toContain("did not say the candidates");
  });

  it("a refusal of the store reaches the user as it is, for each election that waits", async () => {
    const on = stage();
    on.store.hold("open").fail(pooler);
    const campaigns = ["a", "b"].map((election) => watched(on.elect(election).campaign()));
    await on.clock.advance(0);
    expect(campaigns.map(({ reason }) => reason)).toEqual([pooler, pooler]);
    expect(on.clock.timers).toBe(0);
  });

  it("a closed backend refuses new elections, and says which it is", async () => {
    const on = stage();
    await on.backend.close();
    expect(() => on.elect(name)).toThrow(errors.ClosedError);
    expect(() => on.elect(name)).toThrow(/scripted:\/\/host:1 is closed: create another/);
  });

  it.each([undefined, {}, null, "redis://h1"])("%j is no backend", (backend) => {
    expect(() => createElection({ backend: backend as never, name })).toThrow(errors.InvalidOptionError);
    expect(() => createElection({ backend: backend as never, name })).toThrow(/await connect\(url\)/);
  });

  it("the reason of an ended term's signal says why, of which term", async () => {
    const on = stage();
    const term = await elected(on, on.elect(name));
    on.store.session.events.ended("an operator ended it");
    expect(term.signal.reason).toBeInstanceOf(errors.NotLeaderError);
    expect(term.signal.reason).toMatchObject({ election: name, token: 1n, reason: "session-ended" });
    expect((term.signal.reason as Error).message).toContain("an operator ended it");
  });
});

describe("instanceof goes by brand", () => {
  const classes = {
    ELECT_INVALID_OPTION: ({ InvalidOptionError }) => InvalidOptionError,
    ELECT_ADAPTER_MISSING: ({ AdapterMissingError }) => AdapterMissingError,
    ELECT_REFUSED: ({ RefusedError }) => RefusedError,
    ELECT_UNREACHABLE: ({ UnreachableError }) => UnreachableError,
    ELECT_NOT_LEADER: ({ NotLeaderError }) => NotLeaderError,
    ELECT_TOKEN_REGRESSION: ({ TokenRegressionError }) => TokenRegressionError,
    ELECT_BUSY: ({ BusyError }) => BusyError,
    ELECT_CLOSED: ({ ClosedError }) => ClosedError,
  } satisfies Record<Code, (module: typeof errors) => abstract new (...args: never) => Error>;

  it("also across a second installed copy of this package, and each class knows its own only", async () => {
    const path = "../src/errors.ts?copy";
    const copy = (await import(path)) as typeof errors;
    expect(copy.BusyError).not.toBe(errors.BusyError);
    for (const [code, encounter] of Object.entries(encounters)) {
      const error = await met(encounter);
      expect(error).toBeInstanceOf(copy.ElectError);
      for (const module of [errors, copy]) {
        const known = Object.entries(classes).filter(([, classOf]) => error instanceof classOf(module));
        expect(known.map(([own]) => own)).toEqual([code]);
      }
    }
  });

  it.each([null, undefined, "text", 7, new Error("plain"), { code: "ELECT_BUSY" }])("%o is none", (value) => {
    expect(value instanceof errors.ElectError).toBe(false);
    expect(value instanceof errors.BusyError).toBe(false);
  });
});
