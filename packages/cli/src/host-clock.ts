/**
 * The clock of the host: libuv reads CLOCK_MONOTONIC, whose origin is the same for all processes of one machine. So one
 * process can tell another until when something holds. It is not moved by anybody who sets the time of day.
 */

/** Milliseconds since a moment that all processes of this host share. */
export function hostNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
