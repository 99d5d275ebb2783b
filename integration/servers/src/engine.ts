// The container engine and the images, made ready by engine/ready.sh: at most once per test run, not once per server.
import { spawn } from "node:child_process";
import { resolve } from "node:path";

export type ServerKind = "redis" | "valkey" | "postgres" | "pgbouncer" | "etcd" | "zookeeper";

const readyScript = resolve(import.meta.dirname, "../engine/ready.sh");
// Tells the worker processes of a test run, by inheritance, that the script has been run for them.
const readyMark = "ELECT_TEST_ENGINE_READY";

/** Finds or makes an engine and the images, and tells this process and its children by environment variables. */
export async function makeEngineReady(kinds: readonly ServerKind[] = []): Promise<void> {
  for (const line of (await run(readyScript, kinds)).split("\n")) {
    const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) process.env[name] = value;
  }
  process.env[readyMark] = [...new Set([...madeReady(), ...(kinds.length === 0 ? allKinds : kinds)])].join(
    ",",
  );
}

const allKinds: readonly ServerKind[] = ["redis", "valkey", "postgres", "pgbouncer", "etcd", "zookeeper"];
const preparing = new Map<ServerKind, Promise<void>>();

/** Has this test run made it ready: at all, or for servers of this kind? */
export function engineIsReady(kind?: ServerKind): boolean {
  const ready = madeReady();
  return kind === undefined ? ready.length > 0 : ready.includes(kind);
}

function madeReady(): readonly string[] {
  return process.env[readyMark]?.split(",") ?? [];
}

/** The image that this kind of server starts from. */
export async function imageOf(kind: ServerKind): Promise<string> {
  if (!engineIsReady(kind)) {
    const ready = preparing.get(kind) ?? makeEngineReady([kind]);
    preparing.set(kind, ready);
    await ready;
  }
  const image = process.env[`ELECT_TEST_${kind.toUpperCase()}_IMAGE`];
  if (image === undefined) throw new Error(`engine/ready.sh named no image for ${kind}`);
  return image;
}

/** The server that the user has pointed to instead of a container, if any. */
export function urlFromEnvironment(kind: ServerKind): string | undefined {
  return process.env[urlVariable(kind)] || undefined;
}

export function urlVariable(kind: ServerKind): string {
  return `ELECT_TEST_${kind.toUpperCase()}_URL`;
}

async function run(script: string, args: readonly string[]): Promise<string> {
  const child = spawn("bash", [script, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  const code = await new Promise((done, failed) => child.on("error", failed).on("close", done));
  if (code !== 0) throw new Error("No container engine; what to do about it is said above.");
  return output;
}
