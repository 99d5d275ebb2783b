// For vitest's `globalSetup`: one registry for all files.
import type { TestProject } from "vitest/node";
import { startRegistry, type Registry } from "./registry.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where npm finds our packages and what is installed here. */
    readonly registry: string;
  }
}

let registry: Registry | undefined;

export async function setup(project: TestProject): Promise<void> {
  registry = await startRegistry();
  project.provide("registry", registry.url);
}

export async function teardown(): Promise<void> {
  await registry?.[Symbol.asyncDispose]();
}
