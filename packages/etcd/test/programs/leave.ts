/** A process of one session, which it leaves in the way that it is told; it must then end by itself. */

import { randomBytes } from "node:crypto";
import { EtcdAdapter } from "../../src/adapter.ts";
import { resolveOptions } from "../../src/options.ts";

const [hosts = "", namespace = "", how = ""] = process.argv.slice(2);
const call = (timeoutMs = 2_000) => ({ signal: AbortSignal.timeout(timeoutMs), timeoutMs });
const silent = { hint() {}, doubt() {}, lost() {}, ended() {} };

const adapter = new EtcdAdapter(resolveOptions({ hosts, namespace }));
if (how === "unreachable") {
  await adapter.read("a", call(300)).catch(() => {});
} else {
  const session = await adapter.open(
    { ttlMs: 30_000, nonce: randomBytes(16).toString("hex"), events: silent },
    call(),
  );
  const nonce = randomBytes(16).toString("hex");
  const watch = await adapter.watch("a", () => {}, call());
  await session.claim(
    [{ election: "a", nonce, candidate: { id: "child", metadata: "null" }, unchanged: null }],
    call(),
  );
  if (how === "end") await session.end(call());
  else if (how === "abandon") session.abandon();
  if (how !== "not at all") watch.close();
}
if (how !== "not at all") await adapter.close();
process.stdout.write(how === "not at all" ? "not closed\n" : "closed\n");
