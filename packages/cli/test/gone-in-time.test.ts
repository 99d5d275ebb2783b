/**
 * The promise of `elect run`: all of the command's process group, a grandchild that ignores SIGTERM included, is gone before
 * the lease can end. Each case on a store with a lease (SQLite, mode "lease"), twenty times, by the clock of the host.
 */
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { connect, createElection } from "@elect/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostNow } from "../src/host-clock.ts";
import { beats, inParallel, Scratch, start, until, type Elect } from "./rig.ts";

const rounds = 20;
/** For what is more than was promised. */
const few = 5;
/** At once; each is four processes. */
const width = 5;
const ttl = 3_000;

const scratch = new Scratch();
const url = `sqlite:${scratch.path}/store?mode=lease`;
const backend = await connect(url);

beforeAll(async () => {
  // Makes the store.
  await using election = createElection({ backend, name: "first", ttl });
  await (await election.campaign()).resign();
});

afterAll(async () => {
  await backend.close();
  scratch[Symbol.dispose]();
});

/** One leader that beats, one successor that waits. */
interface Round {
  readonly elect: Elect;
  /** The lease of the leader's session, as the store has it. */
  readonly lease: DatabaseSync;
}

/** Lets `harm` happen to a leader; settles with the last instants that matter. */
async function round(
  name: string,
  harm: (round: Round) => Promise<void> | void,
): Promise<{ lastBeat: number; electedAt: number }> {
  const file = scratch.file(name);
  // Once, so that it does not lead again before the successor does.
  const words = ["--election", name, "--url", url, "--ttl", String(ttl), "--grace", "200", "--once"];
  await using elect = start(["run", ...words, "--", process.execPath, scratch.beatProgram, file]);
  await elect.printed(/^beating/m);
  await using successor = createElection({ backend, name, ttl });
  let electedAt = Infinity;
  successor.on("elected", () => (electedAt = hostNow()));
  const campaign = successor.campaign();
  campaign.catch(() => {});
  using lease = leaseOf(name);
  await harm({ elect, lease });
  await using term = await campaign;
  expect(term.isValid()).toBe(true);
  // Whoever still ran now would beat.
  await until("the command is gone", () => hostNow() - last(file) > 50);
  return { lastBeat: last(file), electedAt };
}

function last(file: string): number {
  return Math.max(...beats(file).map(({ at }) => at));
}

function leaseOf(name: string): DatabaseSync {
  using store = open("elect.db");
  const row = store.prepare("select session from election where name = ?").get(name);
  return open(`sessions/${String(row?.["session"])}.lease`);
}

function open(file: string): DatabaseSync {
  return new DatabaseSync(`${scratch.path}/store/${file}`, { timeout: 1_000 });
}

function endOf(lease: DatabaseSync): number {
  return Number(lease.prepare("select until from lease").get()?.["until"]);
}

describe("the whole group is gone before the lease can end", () => {
  it("when the lease is lost", async () => {
    await inParallel(rounds, width, async (index) => {
      let leaseEnd = NaN;
      const { lastBeat, electedAt } = await round(`lost-${index}`, async ({ lease, elect }) => {
        // From now on the store takes no proof of this session.
        lease.exec("begin exclusive");
        leaseEnd = endOf(lease);
        await elect.printed(/lost the leadership/);
        await until("the lease is over", () => hostNow() > leaseEnd);
        lease.exec("rollback");
      });
      expect(lastBeat).toBeLessThan(leaseEnd);
      expect(lastBeat).toBeLessThan(electedAt);
    });
  });

  it("when elect gets SIGTERM", async () => {
    await inParallel(rounds, width, async (index) => {
      const { lastBeat, electedAt } = await round(`term-${index}`, ({ elect }) => elect.kill("SIGTERM"));
      expect(lastBeat).toBeLessThan(electedAt);
    });
  });

  it("when elect is stopped for longer than the TTL", async () => {
    await inParallel(rounds, width, async (index) => {
      const { lastBeat, electedAt } = await round(`stop-${index}`, ({ elect }) => elect.kill("SIGSTOP"));
      expect(lastBeat).toBeLessThan(electedAt);
    });
  });

  it("when elect is killed", async () => {
    await inParallel(rounds, width, async (index) => {
      const { lastBeat, electedAt } = await round(`kill-${index}`, ({ elect }) => elect.kill("SIGKILL"));
      expect(lastBeat).toBeLessThan(electedAt);
    });
  });

  it("when the process that holds the session is stopped", async () => {
    await inParallel(few, width, async (index) => {
      let leaseEnd = NaN;
      const { lastBeat, electedAt } = await round(`holder-stop-${index}`, async ({ elect, lease }) => {
        const { holder } = elect;
        process.kill(holder, "SIGSTOP");
        leaseEnd = endOf(lease);
        await elect.printed(/lost the leadership/);
        await until("the lease is over", () => hostNow() > leaseEnd);
        process.kill(holder, "SIGCONT");
      });
      expect(lastBeat).toBeLessThan(leaseEnd);
      expect(lastBeat).toBeLessThan(electedAt);
    });
  });

  // SQLite hands over at once when a holder dies, so the end of its lease is all that can be asked for (see the README).
  it("when the process that holds the session is killed", async () => {
    await inParallel(few, width, async (index) => {
      let leaseEnd = NaN;
      const { lastBeat } = await round(`holder-kill-${index}`, ({ elect, lease }) => {
        leaseEnd = endOf(lease);
        process.kill(elect.holder, "SIGKILL");
      });
      expect(lastBeat).toBeLessThan(leaseEnd);
    });
  });

  it("before the next one starts on this host, also if the store hands over at once", async () => {
    const [first, second] = [scratch.file("leader"), scratch.file("follower")];
    const options = ["--election", "next", "--url", url, "--grace", "200"];
    const words = (file: string): string[] => [
      "run",
      ...options,
      "--",
      process.execPath,
      scratch.beatProgram,
      file,
    ];
    await using leader = start(words(first));
    await leader.printed(/^beating/m);
    await using follower = start(words(second));
    const { holder } = leader;
    await using election = createElection({ backend, name: "next" });
    const changes = election.observe();
    const before = (await changes.next()).value;
    // Nobody is left to end the command, and the store lets the follower lead.
    leader.kill("SIGSTOP");
    process.kill(holder, "SIGKILL");
    for (let now = before; !now || now.id === before?.id;) now = (await changes.next()).value;
    const since = hostNow();
    await until("it goes on beating", () => last(first) > since + 200);
    expect(existsSync(second)).toBe(false);

    leader.kill("SIGCONT");
    await follower.printed(/^beating/m);
    expect(Math.min(...beats(second).map(({ at }) => at))).toBeGreaterThan(last(first));
  });
});
