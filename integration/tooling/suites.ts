export interface Suite {
  readonly name: string;
  /** The script of a package that runs it. */
  readonly script: string;
  /** The files it takes, relative to the package; what an earlier suite takes is not taken again. */
  readonly files: readonly string[];
  /** Milliseconds after which a test or hook of it is taken for hung, on a machine with more processes than cores. */
  readonly limit: number;
}

/** The contract of @elect/testing, kept by a backend, and everything else a package says about itself. */
export const suites: readonly Suite[] = [
  {
    name: "contract",
    script: "test:contract",
    files: ["test/**/contract.test.ts", "test/**/*.contract.test.ts"],
    limit: 60_000,
  },
  { name: "unit", script: "test", files: ["test/**/*.test.ts"], limit: 30_000 },
];

/** The files that belong to earlier suites than this one. */
export function filesOfEarlier(suite: Suite): string[] {
  return suites.slice(0, suites.indexOf(suite)).flatMap(({ files }) => files);
}
