import { expect } from "vitest";
import type { ChildCandidate } from "../child-candidate.ts";
import { pass, within } from "../wait.ts";
import { nthRequest } from "./link.ts";
import type { Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

export function stall(suite: Suite): void {
  suite.group("stall", () => {
    suite.test(
      "P1 P2 G-1 G-2 A6-2 4.L-3 a leader that was stopped or stalled knows it in its first statement",
      ["children"],
      async (stage) => {
        const children = await Promise.all([stage.child(), stage.child(), stage.child()]);
        const replaced = stage.contract.capabilities.stopped !== null;
        let leader = await leaderOf(stage, children, 0n);

        // Shorter than the lease: whether the term survives is a matter of luck, that it is not shared is not.
        leader.child.stop();
        await pass(0.5 * stage.ttl);
        leader.child.resume();
        await pass(0.5 * stage.ttl);

        leader = await leaderOf(stage, children, 0n);
        leader.child.stop();
        const others = children.filter((child) => child !== leader.child);
        if (replaced) await leaderOf(stage, others, leader.token);
        await pass(replaced ? 0.5 * stage.ttl : 1.5 * stage.ttl);
        leader.child.resume();
        await within(stage.crashBound, "the stopped leader knows", leader.child.lost(leader.token));

        leader = await leaderOf(stage, children, leader.token);
        await leader.child.stall(1.5 * stage.ttl);
        await within(stage.crashBound, "the stalled leader knows", leader.child.lost(leader.token));
        await leaderOf(stage, children, leader.token);

        const claims = stage.history().filter((record) => record.kind === "claim");
        let gaps = 0;
        for (const child of children) {
          const own = claims.filter((claim) => claim.candidate === child.incarnation);
          for (const [index, claim] of own.entries()) {
            const before = own[index - 1];
            if (
              before === undefined ||
              before.token !== claim.token ||
              claim.from - before.to < stage.ttl * 1e6
            )
              continue;
            gaps += 1;
            expect(claim.valid, "the first claim after more than a lease of silence").toBe(false);
          }
        }
        expect(gaps).toBeGreaterThanOrEqual(2);
      },
    );

    suite.test(
      "P4 P10 G-9 4.L-9 a killed leader is replaced in time, and its id may come back at once",
      ["children"],
      async (stage) => {
        const children = await Promise.all([stage.child(), stage.child()]);
        const leader = await leaderOf(stage, children, 0n);
        await leader.child.kill();
        const restarted = stage.child({ id: leader.child.id });
        const others = children.filter((child) => child !== leader.child);
        const next = await leaderOf(stage, [...others, await restarted], leader.token);
        expect(next.token).toBeGreaterThan(leader.token);
      },
    );

    suite.test(
      "P10 G-30 a leader that exits, throws or is told to terminate is replaced in time",
      ["children"],
      async (stage) => {
        const children = await Promise.all([stage.child(), stage.child(), stage.child(), stage.child()]);
        const ways: ((child: ChildCandidate) => void)[] = [
          (child) => child.order({ do: "exit" }),
          (child) => child.order({ do: "throw" }),
          (child) => void child.kill("SIGTERM"),
        ];
        let last = 0n;
        for (const leave of ways) {
          const alive = children.filter((child) => child.alive);
          const { child, token } = await leaderOf(stage, alive, last);
          leave(child);
          await within(stage.crashBound, "the process ends", child.exited);
          last = token;
        }
        await leaderOf(
          stage,
          children.filter((child) => child.alive),
          last,
        );
      },
    );

    suite.test(
      "P2 G-15 a wall clock that jumps by an hour, once in a while or all the time, decides nothing",
      ["children"],
      async (stage) => {
        const children = await Promise.all([stage.child(), stage.child()]);
        const { child, token } = await leaderOf(stage, children, 0n);
        // A driver may take a call for overdue at a jump; one lost call costs nobody the term.
        const jump = (everyMs: number): void => {
          for (const each of children) each.order({ do: "jump-wall-clock", byMs: 3_600_000, everyMs });
        };
        jump(stage.ttl);
        await pass(2.5 * stage.ttl);
        expect(child.leads).toBe(token);
        expect(children.flatMap(({ terms }) => terms)).toHaveLength(1);
        // All the time, it may; what must hold is that nobody leads twice, and that somebody does afterwards.
        jump(10);
        await pass(stage.ttl);
        jump(0);
        await leaderOf(stage, children, 0n);
        child.resign();
        await leaderOf(stage, children, token);
      },
    );

    suite.test(
      "P1 G-8 a process frozen while the reply to its claim is under way",
      ["children", "faults", "stopped"],
      async (stage) => {
        const link = await stage.link();
        const claimed = link.once(nthRequest(1, stage.name), "hold");
        const frozen = await stage.child({ link });
        const { connection } = await within(stage.crashBound, "the claim is sent", claimed.seen);
        frozen.stop();
        connection.heal();
        const rival = await stage.candidate();
        const term = await rival.lead(stage.ttl + stage.stoppedBound);
        frozen.resume();
        await pass(stage.ttl);
        expect(term.isValid()).toBe(true);
        expect(frozen.leads, "it does not lead on a reply of before the freeze").toBeNull();
        await term.resign();
        await within(
          stage.ttl + stage.crashBound,
          "it leads by a claim of its own time",
          frozen.elected(term.token),
        );
      },
    );
  });
}

/** Waits until one of them says that it leads with a greater token than `after`. */
async function leaderOf(
  stage: Stage,
  children: readonly ChildCandidate[],
  after: bigint,
): Promise<{ child: ChildCandidate; token: bigint }> {
  const { capabilities } = stage.contract;
  const bound = Math.max(stage.crashBound, capabilities.stopped === null ? 0 : stage.stoppedBound);
  const elections = children.map(async (child) => ({ child, token: await child.elected(after) }));
  return within(bound, "one of the processes leads", Promise.race(elections));
}
