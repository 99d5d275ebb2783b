// What a process holds: memory after a forced collection, open files, sockets. And whether that stays flat.
import { readdirSync, readlinkSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { getHeapSpaceStatistics } from "node:v8";
import { quantile } from "./figures.ts";

export interface Footprint {
  readonly rssKb: number;
  /** What JavaScript holds, in V8's heap and outside of it; its compiled code, of which there is more and more, aside. */
  readonly heapKb: number;
  /** Entries of `process.getActiveResourcesInfo()`: what keeps the process alive. */
  readonly resources: number;
  /** Open sockets, also those that keep nothing alive (an adapter's do not); -1 where the system does not say. */
  readonly sockets: number;
}

/** Of this process, which must run with `--expose-gc`. */
export async function footprint(): Promise<Footprint> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error("to be weighed, a process needs --expose-gc");
  // What the first collection finalises, the second one frees.
  for (let round = 0; round < 2; round += 1) {
    await turn();
    gc();
  }
  const { rss, external } = process.memoryUsage();
  const data = getHeapSpaceStatistics().filter(({ space_name }) => !/code|trusted/.test(space_name));
  const heap = data.reduce((sum, { space_used_size }) => sum + space_used_size, 0);
  return {
    rssKb: rss / 1024,
    heapKb: (heap + external) / 1024,
    resources: process.getActiveResourcesInfo().length,
    sockets: process.platform === "linux" ? openSockets() : -1,
  };
}

function openSockets(): number {
  const folder = "/proc/self/fd";
  return readdirSync(folder).filter((file) => {
    try {
      return readlinkSync(`${folder}/${file}`).startsWith("socket:");
    } catch {
      return false; // The folder's own, closed since.
    }
  }).length;
}

/** Fewer weighings than this say nothing about growth. */
const leastWeighings = 100;

/**
 * What may be added with each outage, or in all. The heap says most: where nothing is kept it grows by 0.1 to 0.6 kB, and
 * a leak of 4 kB shows as 4.3 (`--leak=4`). Resident memory comes in pages, holds the compiled code, and settles late: it
 * is there for what no heap knows of, and grows by 0 to 8 kB where nothing is kept (20 on a machine that is busy otherwise).
 */
const allowed = {
  heapKb: { perOutage: 1.5, inAll: Infinity },
  rssKb: { perOutage: 25, inAll: Infinity },
  // A connection may be on its way, and a call or two, when it is weighed.
  sockets: { perOutage: Infinity, inAll: 1.5 },
  resources: { perOutage: Infinity, inAll: 4.5 },
} as const;

/** For each process: how it went, and in what it has grown. The first half of the weighings is the warm-up. */
export function growth(footprints: readonly (readonly Footprint[])[]): {
  readonly lines: readonly string[];
  readonly faults: readonly string[];
} {
  const [lines, faults]: [string[], string[]] = [[], []];
  for (const [index] of (footprints[0] ?? []).entries()) {
    for (const [measure, { perOutage, inAll }] of Object.entries(allowed)) {
      const series = footprints.flatMap((all) => all[index]?.[measure as keyof typeof allowed] ?? []);
      const { first, last, slope } = trend(series.slice(Math.floor(series.length / 2)));
      const line =
        `process ${index + 1}: ${measure} ${tenths(series)}; second half: ` +
        `${first.toFixed(0)} → ${last.toFixed(0)}, ${slope.toFixed(2)} per outage`;
      lines.push(line);
      const grows = slope > perOutage || last - first > inAll;
      if (series.length >= leastWeighings && grows) faults.push(`grows: ${line}`);
    }
  }
  return { lines, faults };
}

/** The medians of the first and the last quarter, and the median of all slopes between two points (Theil and Sen). */
function trend(series: readonly number[]): { first: number; last: number; slope: number } {
  const quarter = Math.max(1, Math.floor(series.length / 4));
  const slopes: number[] = [];
  for (const [to, value] of series.entries()) {
    for (let from = 0; from < to; from += 1) slopes.push((value - series[from]!) / (to - from));
  }
  return {
    first: quantile(series.slice(0, quarter), 0.5),
    last: quantile(series.slice(-quarter), 0.5),
    slope: quantile(slopes, 0.5),
  };
}

/** The medians of its ten parts. */
function tenths(series: readonly number[]): string {
  const part = Math.max(1, Math.ceil(series.length / 10));
  const medians: string[] = [];
  for (let from = 0; from < series.length; from += part) {
    medians.push(quantile(series.slice(from, from + part), 0.5).toFixed(0));
  }
  return medians.join(" ");
}
