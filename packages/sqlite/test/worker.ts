/** A worker thread that leads until it is terminated, and that may forget its session. */

import { randomBytes } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { parentPort, workerData } from "node:worker_threads";
import { SqliteAdapter } from "../src/adapter.ts";

const { directory } = workerData as { directory: string };
const call = { signal: new AbortController().signal, timeoutMs: 5_000 };
const nonce = (): string => randomBytes(16).toString("hex");
const events = { hint: () => {}, doubt: () => {}, lost: () => {}, ended: () => {} };

async function lead(): Promise<bigint | null> {
  const session = await new SqliteAdapter({ directory }).open(
    { ttlMs: 10_000, nonce: nonce(), events },
    call,
  );
  const candidate = { id: "worker", metadata: "" };
  const [answer] = await session.claim(
    [{ election: "report", nonce: nonce(), candidate, unchanged: null }],
    call,
  );
  return answer?.kind === "granted" ? answer.token : null;
}

const token = await lead();
setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
for (let round = 0; round < 3; round++) {
  collectGarbage();
  await new Promise((resolve) => setImmediate(resolve));
}
parentPort?.postMessage({ token });
setInterval(() => {}, 1_000);
