import { createElection } from "@elect/core";
import { etcd } from "../../src/index.ts";
import { Etcd3 } from "etcd3";
const client = new Etcd3({ hosts: "127.0.0.1:12379" });
const ns = "elect-bench-" + Date.now();
const med = (a: number[]) => a.sort((x, y) => x - y)[Math.floor(a.length / 2)]!;
async function rtt() { const t: number[] = []; for (let i = 0; i < 300; i++) { const s = performance.now(); await client.put(`${ns}/x`).value("v"); t.push(performance.now() - s); } return med(t); }
await rtt(); 
for (const n of [2, 10, 100]) {
  const raw = await rtt();
  const backends = Array.from({ length: n }, () => etcd({ hosts: "127.0.0.1:12379", namespace: ns }));
  const times: number[] = []; let resignedAt = 0; let count = 0; let done: () => void; const over = new Promise<void>((r) => (done = r));
  const elections = backends.map((backend) => createElection({ backend, name: `handover-${n}`, ttl: 10_000 }));
  const stop = new AbortController();
  for (const e of elections) void (async () => { while (!stop.signal.aborted) { try { const term = await e.campaign({ signal: stop.signal }); const now = performance.now(); if (resignedAt) times.push(now - resignedAt); if (++count > 150) { done(); return; } await new Promise(r => setTimeout(r, 5)); resignedAt = performance.now(); await term.resign(); } catch { return; } } })();
  await over; stop.abort();
  console.log(`n=${n} handover p50 ${med(times).toFixed(2)} ms raw rtt ${raw.toFixed(2)} ratio ${(med(times) / raw).toFixed(1)}`);
  await Promise.all(backends.map((b) => b.close()));
}
for (let k = 0; k < 3; k++) {
  const backend = etcd({ hosts: "127.0.0.1:12379", namespace: `${ns}-${k}` });
  const es = Array.from({ length: 1000 }, (_, i) => createElection({ backend, name: `e-${i}` }));
  const s = performance.now(); await Promise.all(es.map((e) => e.campaign())); console.log("1000 led in", (performance.now() - s).toFixed(0));
  const c = performance.now(); await backend.close(); console.log("closed in", (performance.now() - c).toFixed(0));
}
client.close();
