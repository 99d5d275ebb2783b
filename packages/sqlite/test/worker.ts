/** A worker thread that leads until it is terminated. */

import { randomBytes } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { SqliteAdapter } from "../src/adapter.ts";

const { directory } = workerData as { directory: string };
const call = { signal: new AbortController().signal, timeoutMs: 5_000 };
const nonce = (): string => randomBytes(16).toString("hex");
const events = { hint: () => {}, doubt: () => {}, lost: () => {}, ended: () => {} };
const session = await new SqliteAdapter({ directory }).open({ ttlMs: 10_000, nonce: nonce(), events }, call);
const candidate = { id: "worker", metadata: "" };
const [answer] = await session.claim([{ election: "report", nonce: nonce(), candidate, unchanged: null }], call);
parentPort?.postMessage({ token: answer?.kind === "granted" ? answer.token : null });
setInterval(() => void session.id, 1_000);
