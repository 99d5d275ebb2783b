// Runs a program as users do, in a process of its own, to its end.
import { spawn } from "node:child_process";
import { resolve } from "node:path";

export interface Ending {
  readonly code: number | NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
  /** How long it went on after the last that it printed. */
  readonly lingeredMs: number;
}

/** Node resolves the packages of the workspace to their sources, from this folder on. */
const here = resolve(import.meta.dirname, "..");
/** What a machine that is busy may take; nothing here waits for a lease to run out, but the demo. */
const patienceMs = 60_000;

export async function runProgram(
  words: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<Ending> {
  const child = spawn(process.execPath, ["--conditions=@elect/source", ...words], {
    cwd: here,
    // The test runner's way to find packages is not the user's.
    env: {
      ...process.env,
      NODE_PATH: undefined,
      NODE_OPTIONS: undefined,
      ELECT_URL: undefined,
      ...variables,
    },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: patienceMs,
    killSignal: "SIGKILL",
  });
  let [out, err, spoke] = ["", "", performance.now()];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    spoke = performance.now();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  return new Promise((ended, failed) => {
    child.once("error", failed);
    child.once("close", (code, signal) => {
      ended({ code: code ?? signal, out, err, lingeredMs: performance.now() - spoke });
    });
  });
}

/** `elect`, from its sources. */
export async function runElect(...words: string[]): Promise<Ending> {
  return runProgram([resolve(here, "../../packages/cli/src/main.ts"), ...words]);
}
