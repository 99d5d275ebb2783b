/** `elect status`: who leads, as the store says now. */

import { exitCodes } from "./exit-codes.ts";
import { leaderJson, look, withMetadata, type LookOptions } from "./look.ts";

export function status(options: LookOptions): Promise<number> {
  return look(options, async (election, store) => {
    const [leader, candidates] = await Promise.all([election.leader(), election.candidates()]);
    if (options.json) {
      console.log(JSON.stringify({ election: election.name, store, leader: leaderJson(leader), candidates }));
    } else {
      console.log(`election    ${election.name}`);
      console.log(`store       ${store}`);
      console.log(`leader      ${leader === null ? "nobody" : withMetadata(leader)}`);
      if (leader !== null) console.log(`token       ${leader.token}`);
      console.log(`candidates  ${candidates.length}`);
      for (const candidate of candidates) console.log(`            ${withMetadata(candidate)}`);
    }
    return leader === null ? exitCodes.no : exitCodes.ok;
  });
}
