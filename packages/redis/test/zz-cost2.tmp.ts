import { RedisAdapter } from "../src/adapter.ts";
import * as scripts from "../src/scripts.ts";
import { Redis } from "ioredis";
import { randomBytes } from "node:crypto";
const url = process.argv[2]! + "?namespace=cost&maxTtl=20000&durability=assumed";
const signal = new AbortController().signal;
const call = () => ({ signal, timeoutMs: 5000 });
const n = () => randomBytes(16).toString("hex");
const raw = new Redis(process.argv[2]!);
const adapter = new RedisAdapter(url);
const ev = { hint() {}, doubt() {}, lost() {}, ended() {} };
const a = await adapter.open({ ttlMs: 20000, nonce: n(), events: ev }, call());
const bb = { election: "x", nonce: n(), candidate: { id: "c", metadata: "null" }, unchanged: null };
await a.claim([bb], call());
const K = ["elect:{cost}", "elect:{cost}:s:" + a.id];
const fs: Record<string, () => Promise<unknown>> = {
  ping: () => raw.ping(),
  "raw evalsha claim": () => raw.call("EVALSHA", [scripts.claim.sha, 2, ...K, a.id, 20000, "*", 0, "", "x", bb.nonce, '["c","null"]']),
  "raw evalsha read": () => raw.call("EVALSHA", [scripts.read.sha, 1, K[0]!, "x"]),
  "session claim": () => a.claim([bb], call()),
  "session prove": () => a.prove(new Map(), call()),
  "adapter read": () => adapter.read("x", call()),
};
const xs: Record<string, number[]> = {};
for (let r = 0; r < 3000; r++) for (const [k, f] of Object.entries(fs)) { const t = performance.now(); await f(); (xs[k] ??= []).push(performance.now() - t); }
for (const [k, v] of Object.entries(xs)) { v.sort((a, b) => a - b); console.log(k, "p10", (v[300]! * 1000).toFixed(0), "p50", (v[1500]! * 1000).toFixed(0)); }
a.abandon(); await adapter.close(); raw.disconnect();
