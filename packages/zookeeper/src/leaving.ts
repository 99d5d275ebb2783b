/** Letting go of claims: what names this session and nonce is removed, and nothing else. */

import type { Claim } from "@elect/core/adapter";
import { inWaitingOrder, isOwn, isOwnPlace, type Paths } from "./paths.ts";
import type { Standing } from "./standing.ts";
import type { Operation, Wire } from "./wire.ts";

/** So many looks at a queue that changes under our hands. */
const looks = 8;

export interface Leaving {
  readonly wire: Wire;
  readonly paths: Paths;
  /** The session's id, as nodes name their owner. */
  readonly session: Buffer;
}

/** `standing`: what is known of the claim; what is not known is looked for. */
export async function leave(leaving: Leaving, claim: Claim, standing: Standing | undefined): Promise<void> {
  const { wire, paths } = leaving;
  if (standing !== undefined && standing.place !== null) {
    // The next in the queue wakes up when the place goes, and must find the way free: both in one transaction.
    const operations = [remove(paths.place(claim.election, standing.place))];
    if (standing.granted) operations.push(remove(paths.leader(claim.election)));
    const [outcome] = await Promise.all([wire.multi(operations), tidy(leaving, claim.election)]);
    if (outcome.done) return;
  }
  for (let look = 0; look < looks; look += 1) {
    const operations = await find(leaving, claim);
    if (operations.length === 0 || (await wire.multi(operations)).done) return tidy(leaving, claim.election);
  }
  throw new Error(`the queue of "${claim.election}" keeps changing`);
}

async function find({ wire, paths, session }: Leaving, { election, nonce }: Claim): Promise<Operation[]> {
  const [children, leader] = await Promise.all([
    wire.children(paths.election(election)),
    wire.read(paths.leader(election)),
  ]);
  const owner = { session, nonce };
  const places = inWaitingOrder(children ?? []).filter((place) => isOwnPlace(place, owner));
  const operations = places.map(({ node }) => remove(paths.place(election, node)));
  // Without our place, only this read says that the leader node is ours. It could go and another one come before it is
  // removed, but only if an operator deletes both our nodes and a successor is elected within this round trip.
  if (isOwn(leader, owner)) operations.push(remove(paths.leader(election)));
  return operations;
}

/** S6: the last one out removes the election's node, which is made again when somebody comes. */
async function tidy({ wire, paths }: Leaving, election: string): Promise<void> {
  const path = paths.election(election);
  const node = await wire.read(path);
  if (node?.stat.numChildren === 0) await wire.remove(path);
}

function remove(path: string): Operation {
  return { kind: "remove", path };
}
