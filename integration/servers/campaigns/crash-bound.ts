import { connect } from "@elect/core";

/** How long it may take to replace a leader that crashed, as the adapter declares it; in ms. */
export async function crashBound(url: string, ttl: number): Promise<number> {
  await using backend = await connect(url);
  const { ttls, plusMs } = backend.capabilities.crash;
  return ttls * ttl + plusMs;
}
