/** What can go wrong, each for some time, at a moment of chance. */

import type { Chance } from "./chance.ts";
import type { Member } from "./member.ts";
import type { World } from "./world.ts";

export interface Nemesis {
  /** Whether it makes sense in this world. */
  readonly applies?: (world: World) => boolean;
  /** Afterwards, once `undo` has been called, all is well again. */
  strike(world: World, target: Member, chance: Chance): (() => void) | void;
}

const linkStates = ["silent", "no requests", "no replies", "refused"] as const;

const links = Object.fromEntries(
  linkStates.map((state): [string, Nemesis] => [
    `link: ${state}`,
    {
      strike(world, target) {
        target.link.state = state;
        if (state === "refused") doubt(world, target);
        return () => void (target.link.state = "up");
      },
    },
  ]),
);

export const nemeses: Readonly<Record<string, Nemesis>> = {
  ...links,
  "link: slow": {
    strike(world, target, chance) {
      target.link.slowMs = chance.between(0.05, 1.5) * world.ttl;
      return () => void (target.link.slowMs = 0);
    },
  },
  "link: replies are late, then none": {
    strike(world, target, chance) {
      target.link.lateRepliesMs = chance.between(0.1, 0.16) * world.ttl;
      const silence = world.timeline.in(chance.between(0.3, 1) * world.ttl, null, () => {
        target.link.state = "silent";
      });
      return () => {
        silence.cancel();
        target.link.heal();
      };
    },
  },
  "link: a request arrives late": {
    strike(world, target, chance) {
      target.link.holdMs = chance.between(0.1, 3) * world.ttl;
    },
  },
  "link: applied, not acknowledged": {
    strike(_, target, chance) {
      target.link.loseReply = chance.of(["silently", "with a reset"] as const);
    },
  },
  "link: a hiccup": { strike: (world, target) => doubt(world, target) },
  "events of older sessions": {
    strike(world, target, chance) {
      const [, ...older] = [...target.adapter.sessions.values()].toReversed();
      for (const events of older.slice(0, 5)) {
        const election = chance.of(world.elections);
        world.timeline.in(chance.between(0, 50), target, () => events.ended("old news"));
        world.timeline.in(chance.between(0, 50), target, () => events.hint(election));
        world.timeline.in(chance.between(0, 50), target, () => events.doubt(new Error("old news")));
      }
    },
  },
  "hints out of nowhere": {
    strike(world, target, chance) {
      for (const events of target.adapter.sessions.values())
        for (let hint = 0; hint < 3; hint++)
          world.timeline.in(chance.between(0, 20), target, () =>
            events.hint(chance.of([null, ...world.elections])),
          );
    },
  },
  "the process stops": {
    strike(world, target, chance) {
      world.stop(target, chance.of([0.5, 0.95, 1.05, 3, chance.between(0, 2)]) * world.ttl);
    },
  },
  "the process dies": { strike: (world, target) => world.crash(target) },
  "the process is closed": {
    strike: (world, target) => void world.timeline.in(0, target, () => world.close(target)),
  },
  "the user aborts": { strike: (world, target) => void world.timeline.in(0, target, () => target.abort()) },
  "the user aborts while it is asked": {
    strike(world, target, chance) {
      target.adapter.onClaim = () => world.timeline.in(chance.between(0, 6), target, () => target.abort());
    },
  },
  "the store is away": {
    strike(world) {
      world.storeIsUp = false;
      for (const member of world.members) doubt(world, member);
      return () => void (world.storeIsUp = true);
    },
  },
  "the store restarts": {
    strike(world) {
      world.storeIsUp = false;
      world.store.restart();
      for (const member of world.members) doubt(world, member);
      return () => void (world.storeIsUp = true);
    },
  },
  "a server of the store dies": {
    applies: (world) => world.store.kind.lagMs > 0,
    strike(world, target) {
      world.store.forgetTouches();
      target.link.state = "silent";
      return () => void (target.link.state = "up");
    },
  },
  "an operator deletes the record": {
    strike(world, _, chance) {
      const election = chance.of(world.elections);
      const token = world.store.remove(election);
      if (token !== null) world.robbed(election, token);
    },
  },
  "an operator ends the session": {
    strike(world, _, chance) {
      const election = chance.of(world.elections);
      const tokens = world.store.kill(election);
      for (const name of world.elections) for (const token of tokens) world.robbed(name, token);
    },
  },
};

/** The driver says that the connection is gone. */
function doubt(world: World, target: Member): void {
  world.timeline.in(0, target, () => {
    for (const events of target.adapter.sessions.values()) events.doubt(new Error("the connection is gone"));
  });
}
