import { spawnSync } from "node:child_process";
import { globSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

export interface FailedTask {
  readonly task: string;
  readonly why: string;
}

/** Runs the tasks, all that can run even if some fail, and names the ones that failed. */
export function runTasks(root: string, tasks: readonly string[]): FailedTask[] {
  const runs = join(root, ".turbo", "runs");
  rmSync(runs, { recursive: true, force: true });
  const options = ["--continue=dependencies-successful", "--log-order=grouped", "--summarize"];
  const plain = process.stdout.isTTY ? {} : { NO_COLOR: "1" };
  const { status, signal } = spawnSync("turbo", ["run", ...tasks, ...options], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: "1", ...plain },
  });
  const failed = globSync("*.json", { cwd: runs }).flatMap((file) => failedTasks(join(runs, file)));
  if (status !== 0 && failed.length === 0) {
    failed.push({ task: "turbo", why: signal === null ? `exit code ${status}` : `killed by ${signal}` });
  }
  return failed;
}

function failedTasks(summaryFile: string): FailedTask[] {
  const { tasks } = JSON.parse(readFileSync(summaryFile, "utf8")) as {
    tasks: { taskId: string; execution?: { exitCode: number | null } | null }[];
  };
  return tasks.flatMap(({ taskId, execution }) => {
    const code = execution?.exitCode;
    return code === undefined || code === null || code === 0
      ? []
      : { task: taskId, why: `exit code ${code}` };
  });
}
