import { spawn } from "node:child_process";

/** How a program ended. */
export interface Ending {
  readonly code: number | NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
  /** How long it went on after the last that it printed. */
  readonly lingeredMs: number;
}

/** What a busy machine may take for a program that waits for next to nothing. */
const patienceMs = 60_000;

/** Runs a program to its end. One that does not come to it is killed. */
export async function runToEnd(
  command: string,
  words: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<Ending> {
  const child = spawn(command, words, {
    cwd,
    env,
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
