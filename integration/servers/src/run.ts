// Everything a test run starts carries the run's label, so that whatever is left of it can be found and removed.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { containerRuntime } from "./runtime.ts";

export const runLabel = "org.elect.run";

const variable = "ELECT_TEST_RUN";

/**
 * The run that this process belongs to. The first process to ask begins it, and hands it to its children by their
 * environment; when that process ends, in whatever way, a sweeper removes what the run has left behind.
 */
export function runId(): string {
  const known = process.env[variable];
  if (known) return known;
  const id = randomBytes(6).toString("hex");
  process.env[variable] = id;
  startSweeper(id);
  return id;
}

/** Removes every container and network of the run. */
export async function sweep(id: string = runId()): Promise<void> {
  const { dockerode } = (await containerRuntime()).container;
  const filters = { label: [`${runLabel}=${id}`] };
  const containers = await dockerode.listContainers({ all: true, filters });
  await Promise.allSettled(
    containers.map(({ Id }) => dockerode.getContainer(Id).remove({ force: true, v: true })),
  );
  const networks = await dockerode.listNetworks({ filters });
  await Promise.allSettled(networks.map(({ Id }) => dockerode.getNetwork(Id).remove()));
}

/** Sweeps until nothing new turns up: a test process that dies may have had a container on its way. */
export async function sweepUntilClean(id: string): Promise<void> {
  const { dockerode } = (await containerRuntime()).container;
  const filters = { label: [`${runLabel}=${id}`] };
  for (let clean = 0; clean < 3; await sleep(500)) {
    await sweep(id);
    const left = await dockerode.listContainers({ all: true, filters });
    clean = left.length === 0 ? clean + 1 : 0;
  }
}

// The sweeper waits for the end of its input, which comes with the end of this process: also by SIGKILL, which no
// handler sees. It has a session of its own, for a Ctrl-C goes to the whole group of the terminal.
function startSweeper(id: string): void {
  const sweeper = spawn(process.execPath, [fileURLToPath(new URL("./sweeper.ts", import.meta.url)), id], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  sweeper.unref();
  // Neither the process nor its pipe holds this process open. (The types do not know that the pipe is a socket.)
  (sweeper.stdin as unknown as { unref(): void }).unref();
}
