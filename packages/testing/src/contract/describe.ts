import { describe } from "vitest";
import { acquiring } from "./acquiring.ts";
import { ambiguity } from "./ambiguity.ts";
import { cancelling } from "./cancelling.ts";
import { closing } from "./closing.ts";
import { declaring } from "./declaring.ts";
import { draining } from "./draining.ts";
import { fencing } from "./fencing.ts";
import { losing } from "./losing.ts";
import { observing } from "./observing.ts";
import type { ElectionContract } from "./options.ts";
import { scale } from "./scale.ts";
import { silentLink } from "./silent-link.ts";
import { stall } from "./stall.ts";
import { Suite } from "./suite.ts";
import { waking } from "./waking.ts";

/** Declares the contract's tests for one backend. Call it at the top level of a vitest file. */
export function describeElectionContract(contract: ElectionContract): void {
  const suite = new Suite(contract);
  describe(`the contract on ${contract.name}`, () => {
    suite.watch();
    // The long ones first, so that the short ones fill the gaps.
    for (const behaviour of [stall, silentLink, ambiguity, draining, losing, observing]) behaviour(suite);
    for (const behaviour of [declaring, acquiring, fencing, cancelling, closing]) behaviour(suite);
    for (const behaviour of [waking, scale]) behaviour(suite);
  });
}
