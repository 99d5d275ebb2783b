/** What the demo has to show, and whether it was seen. */

export interface Reign {
  readonly id: string;
  readonly token: bigint;
  /** Instants of the host's clock, in ms. */
  readonly from: number;
  /** When its process was killed, or its term was over; `null` while it goes on. */
  until: number | null;
}

export interface Takeover {
  readonly after: "crash" | "resignation";
  /** From the SIGKILL, or the order to resign, to the successor's `elected`. */
  readonly ms: number;
}

/** What is wrong, in words; empty if all is well. */
export function faults(reigns: readonly Reign[], takeovers: readonly Takeover[]): string[] {
  const wrong: string[] = [];
  for (const [index, reign] of reigns.entries()) {
    const before = reigns[index - 1];
    if (before === undefined) continue;
    if (reign.token <= before.token) wrong.push(`token ${reign.token} came after token ${before.token}`);
    if (before.until === null || before.until > reign.from) {
      wrong.push(
        `${reign.id} led (token ${reign.token}) before ${before.id} had stopped (token ${before.token})`,
      );
    }
  }
  const crashes = takeovers.filter(({ after }) => after === "crash").length;
  if (crashes < 2) wrong.push(`${crashes} crashes were taken over, and two were to be shown`);
  return wrong;
}
