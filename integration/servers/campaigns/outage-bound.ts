import { crashBound } from "./crash-bound.ts";
import { slackMs } from "./outage-member.ts";
import type { Site } from "./outage-sites.ts";

/**
 * When the store answers again, whoever held an election may have died with it, so that it takes what a crash takes. A
 * call that the outage has swallowed is given up after a second, or half a TTL; the pause before the next one may have
 * grown to a TTL, or five seconds.
 */
export async function boundOf({ url, quietMs }: Site, ttl: number): Promise<number> {
  const crash = await crashBound(url, ttl);
  return Math.max(0, crash + Math.max(1_000, ttl / 2) + Math.min(ttl, 5_000) + quietMs + slackMs);
}
