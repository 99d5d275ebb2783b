// Testcontainers' way to the engine. Where it finds none it keeps the reasons to itself, so the engine is asked once more.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { getContainerRuntimeClient } from "testcontainers";
import { engineIsReady } from "./engine.ts";

export type Runtime = Awaited<ReturnType<typeof getContainerRuntimeClient>>;
export type Container = ReturnType<Runtime["container"]["getById"]>;

/** Of an engine that `imageOf` has made ready: until then there may be none, and where it is has not been told. */
export async function containerRuntime(): Promise<Runtime> {
  if (!engineIsReady()) throw new Error("The engine has not been made ready: ask for an image first.");
  try {
    return await getContainerRuntimeClient();
  } catch (cause) {
    throw new Error(`Testcontainers finds no container engine. 'docker info' says: ${await engineSays()}`, {
      cause,
    });
  }
}

async function engineSays(): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)("docker", ["info", "--format", "{{json .}}"]);
    return stdout;
  } catch (error) {
    return String(error);
  }
}

/** What it has printed so far. */
export async function logsOf(container: Container): Promise<string> {
  const output = await container.logs({ stdout: true, stderr: true, follow: false });
  // Each piece is preceded by eight bytes that tell its stream and length.
  return output.toString("utf8").replaceAll(/[\x00-\x02]\0\0\0[^]{4}/g, "");
}
