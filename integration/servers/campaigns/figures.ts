/** The value below which the share `q` (0 to 1) of the sample lies. */
export function quantile(sample: readonly number[], q: number): number {
  const sorted = sample.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

/** Nanoseconds on the clock that all processes of a host share, as milliseconds. */
export function hostNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
