// For vitest's `globalSetup`: what may take a minute (an engine, images) is done before the first test's time runs,
// and whatever the tests have left is removed after the last one.
import { makeEngineReady } from "./engine.ts";
import { runId, sweep } from "./run.ts";

export async function setup(): Promise<void> {
  await makeEngineReady();
  runId();
}

export async function teardown(): Promise<void> {
  await sweep();
}
