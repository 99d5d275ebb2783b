/** What somebody with access to the store can do behind the candidates' backs, for the contract. */

import type { Operator } from "@elect/testing/contract";
import { afterAll } from "vitest";
import { Paths } from "../src/paths.ts";
import type { Wire } from "../src/wire.ts";
import { call, makeLink, url } from "./support.ts";

export function operator(namespace: string): Operator {
  const paths = new Paths("", namespace);
  const link = makeLink(url);
  const act = <T>(work: (wire: Wire) => Promise<T>): Promise<T> => link.during(call(), work);
  afterAll(async () => {
    await act((wire) => removeAll(wire, paths.base));
    await link.closeSession(call());
  });
  return {
    removeLeader: (election) => act(async (wire) => void (await wire.remove(paths.leader(election)))),
    async endSession(election) {
      const leader = await act((wire) => wire.read(paths.leader(election)));
      if (leader === null) throw new Error(`nobody leads ${election}`);
      // An administrator deletes the session's own node.
      const sessions = (await act((wire) => wire.children(paths.sessions))) ?? [];
      for (const node of sessions) {
        const path = `${paths.sessions}/${node}`;
        const owner = (await act((wire) => wire.read(path)))?.stat.ephemeralOwner;
        if (owner?.equals(leader.stat.ephemeralOwner)) await act((wire) => wire.remove(path));
      }
    },
    // A base node's data means nothing.
    touch: () => act((wire) => wire.setData(paths.base, Buffer.from("touched"))),
    leftovers: (election) => act(async (wire) => (await wire.children(paths.election(election))) ?? []),
  };
}

async function removeAll(wire: Wire, path: string): Promise<void> {
  for (const child of (await wire.children(path)) ?? []) await removeAll(wire, `${path}/${child}`);
  await wire.remove(path);
}
