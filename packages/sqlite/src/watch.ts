/** Looking on. A file pushes nothing, so whoever looks on reads again: a few microseconds each time. */

import type { Watch } from "@elect/core/adapter";

/** How late an observer may hear of a change, in ms. */
const pollMs = 100;

export function watch(): Watch {
  return { pollMs, close: () => {} };
}
