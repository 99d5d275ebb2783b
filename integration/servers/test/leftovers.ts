import { execFileSync } from "node:child_process";
import { runId, runLabel } from "../src/index.ts";

/** What the engine still has of a run, by name: asked of the engine itself, past everything that is under test. */
export function leftovers(run: string = runId()): string[] {
  const filter = `label=${runLabel}=${run}`;
  const docker = (...args: string[]) => execFileSync("docker", args, { encoding: "utf8" }).split("\n");
  return [
    ...docker("ps", "--all", "--filter", filter, "--format", "{{.Names}}"),
    ...docker("network", "ls", "--filter", filter, "--format", "{{.Name}}"),
  ].filter(Boolean);
}
