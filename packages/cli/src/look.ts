/** What `status` and `watch` share: an election looked at by somebody who is no candidate. */

import { subscribe } from "node:diagnostics_channel";
import {
  connect,
  createElection,
  type Candidate,
  type Election,
  type Leader,
  type TroubleMessage,
} from "@elect/core";
import { describe } from "./failure.ts";

export interface LookOptions {
  readonly election: string;
  readonly url: string;
  readonly json: boolean;
}

/** Never campaigns, so nothing of it is ever in the store. */
export async function look<T>(
  options: LookOptions,
  work: (election: Election, store: string) => Promise<T>,
): Promise<T> {
  await using backend = await connect(options.url);
  await using election = createElection({ backend, name: options.election });
  return await work(election, backend.address);
}

/** Tokens exceed what a JSON number can hold. */
export function leaderJson(leader: Leader | null): object | null {
  return leader === null ? null : { id: leader.id, token: String(leader.token), metadata: leader.metadata };
}

export function withMetadata({ id, metadata }: Candidate): string {
  return metadata === null ? id : `${id} ${JSON.stringify(metadata)}`;
}

/** Says that the store is away, once for each thing it says. */
export function complainOfTrouble(): void {
  let last = "";
  subscribe("elect:trouble", (message) => {
    const { message: text } = describe((message as TroubleMessage).error);
    if (text !== last) process.stderr.write(`elect: ${text}; trying again\n`);
    last = text;
  });
}
