// A process that is a candidate in many elections: all on one backend, so that they share one session.
//
// It says how many it leads whenever that number has grown, with the instants at which it came to.
import { ClosedError, connect, createElection, type Term } from "@elect/core";
import { hostNow } from "./figures.ts";

export interface CrowdOptions {
  readonly url: string;
  readonly elections: number;
  readonly ttl: number;
  /**
   * As it is published: without Node's loader for TypeScript, which a process in production does not carry along. For campaigns that
   * count milliseconds; they build it first.
   */
  readonly built?: boolean;
}

/** The instants, on the host's clock, at which it was elected in one election after the other. */
export type CrowdReport = readonly number[];

if (process.send !== undefined) {
  const { url, elections, ttl } = JSON.parse(process.argv[2] ?? "") as CrowdOptions;
  const backend = await connect(url);
  const terms: Term[] = [];
  let elected: number[] = [];
  for (let index = 0; index < elections; index += 1) {
    const election = createElection({ backend, name: `of-many-${index}`, ttl });
    election.on("elected", ({ term }) => {
      terms.push(term);
      if (elected.push(hostNow()) === 1) setImmediate(report);
    });
    // Who still waits when its parent is done with it is told so.
    election.campaign().catch((error: unknown) => {
      if (!(error instanceof ClosedError)) throw error;
    });
  }
  const report = (): void => {
    process.send?.(elected satisfies CrowdReport);
    elected = [];
  };
  const leave = async (): Promise<void> => {
    await Promise.all(terms.map(async (term) => term.resign()));
    await backend.close();
    process.exit();
  };
  // Its parent is done with it.
  process.once("disconnect", () => void leave());
}
