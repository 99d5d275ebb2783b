/** What a member's version and alarms mean for elections (the changelogs of etcd 3.4 to 3.6). */

import { RefusedError } from "@elect/core/adapter";
import type { Link } from "./link.ts";

interface Fix {
  /** The first release of each minor version that has it; later minor versions have it from their beginning. */
  readonly fixedIn: readonly string[];
  /** What happens without. */
  readonly sentence: string;
}

/** Faults that no client can make up for. Those in keep-alives are: that is why a proof has two steps. */
const fixes: readonly Fix[] = [
  {
    fixedIn: ["3.4.31", "3.5.13"],
    sentence:
      "a leader of etcd that was cut off may delete the keys of a live session (etcd #12528): its terms end early",
  },
  {
    fixedIn: ["3.4.36", "3.5.18"],
    sentence:
      "watches can miss a deletion (etcd #17529, #18089, #19179): a successor then comes with the net: a TTL later, or several where it waits for more than 48 elections",
  },
  {
    fixedIn: ["3.4.42", "3.5.28", "3.6.9"],
    sentence:
      "a member that was frozen can answer reads from the past (etcd #20418): leader() and candidates() may be stale",
  },
];

/** Client-chosen watch ids, ranges in comparisons. */
const oldest: readonly number[] = [3, 4, 0];

export function checkVersion({ status, member }: Link): void {
  const version = status?.version;
  if (version === undefined || !isBefore(numbersOf(version), oldest)) return;
  throw new RefusedError(
    "version",
    `etcd at ${member} is version ${version}; Elect needs ${oldest.join(".")} or newer.`,
  );
}

export function warningsOf({ status, member }: Link): string[] {
  if (status === null) return [];
  const { version, errors } = status;
  const missing = fixes.filter((fix) => lacks(version, fix));
  return [
    ...missing.map(
      ({ fixedIn, sentence }) => `etcd ${version} at ${member}: ${sentence}; fixed in ${fixedIn.join(", ")}.`,
    ),
    ...errors.map((error) => `etcd at ${member} raises an alarm: ${error}.`),
  ];
}

function lacks(version: string, { fixedIn }: Fix): boolean {
  const ours = numbersOf(version);
  const [major, minor] = ours;
  const same = fixedIn.map(numbersOf).find((fixed) => fixed[0] === major && fixed[1] === minor);
  if (same !== undefined) return isBefore(ours, same);
  return fixedIn.map(numbersOf).every((fixed) => isBefore(ours, fixed));
}

function numbersOf(version: string): number[] {
  return version.split(/[.+-]/, 3).map(Number);
}

function isBefore(one: readonly number[], other: readonly number[]): boolean {
  const differs = one.findIndex((part, index) => part !== other[index]);
  return differs >= 0 && (one[differs] ?? 0) < (other[differs] ?? 0);
}
