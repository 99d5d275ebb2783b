/** Waiting times that no two processes share, so that they do not march in step. */

import type { Clock } from "./clock.ts";

/** About `ms`: a tenth less to a tenth more. */
export function about(clock: Clock, ms: number): number {
  return ms * (0.9 + 0.2 * clock.random());
}

/** How long to wait after so many failures in a row: from 20 ms, doubling, to `longest`; half to all of that. */
export function backOff(clock: Clock, failures: number, longest: number): number {
  return Math.min(longest, 20 * 2 ** failures) * (0.5 + 0.5 * clock.random());
}
