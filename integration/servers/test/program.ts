// Runs a program as users do, in a process of its own, to its end.
import { resolve } from "node:path";
import { runToEnd, type Ending } from "../../tooling/run-to-end.ts";

/** Node resolves the packages of the workspace to their sources, from this folder on. */
const here = resolve(import.meta.dirname, "..");

export async function runProgram(
  words: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<Ending> {
  return runToEnd(process.execPath, ["--conditions=@elect/source", ...words], {
    cwd: here,
    // The test runner's way to find packages is not the user's.
    env: {
      ...process.env,
      NODE_PATH: undefined,
      NODE_OPTIONS: undefined,
      ELECT_URL: undefined,
      ...variables,
    },
  });
}

/** `elect`, from its sources. */
export async function runElect(...words: string[]): Promise<Ending> {
  return runProgram([resolve(here, "../../packages/cli/src/main.ts"), ...words]);
}
