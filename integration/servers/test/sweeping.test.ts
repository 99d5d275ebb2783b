// Nothing outlives the process that started it, however that process ends.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { leftovers } from "./leftovers.ts";

test.for(["SIGINT", "SIGKILL"] as const)("a process that %s ends leaves no container", async (signal) => {
  const { ELECT_TEST_RUN: _, ...environment } = process.env;
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL("./fixtures/leaves-a-server.ts", import.meta.url))],
    {
      env: environment,
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const [output] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
  const { run } = JSON.parse(output) as { run: string };
  expect(leftovers(run)).toHaveLength(1);

  child.kill(signal);
  await once(child, "exit");
  for (let tries = 0; tries < 120 && leftovers(run).length > 0; tries += 1) await sleep(250);
  expect(leftovers(run)).toEqual([]);
});
