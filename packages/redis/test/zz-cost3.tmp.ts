import * as scripts from "../src/scripts.ts";
import { Redis } from "ioredis";
const raw = new Redis(process.argv[2]!);
const K = ["elect:{cost3}", "elect:{cost3}:s:aa"];
await raw.call("EVAL", [scripts.open.text, 2, ...K, "aa", 20000, "*", 600000]);
const args = [2, ...K, "aa", 20000, "*", 0, "", "x", "bb", '["c","null"]'];
const variants: Record<string, string> = {
  full: scripts.claim.text,
  noInfo: scripts.claim.text.replace("redis.call('INFO', 'server')", "'run_id:ab'").replace("redis.call('INFO', 'replication')", "'master_replid:cd'"),
  preludeOnly: scripts.claim.text.replace("local mine, session, generation", "if true then return 1 end local mine, session, generation"),
};
for (const [k, text] of Object.entries(variants)) {
  for (let i = 0; i < 200; i++) await raw.call("EVAL", [text, ...args]);
  const sha = await raw.script("LOAD", text) as string;
  const all: number[] = [];
  for (let r = 0; r < 30; r++) {
    await raw.config("RESETSTAT");
    for (let i = 0; i < 50; i++) await raw.call("EVALSHA", [sha, ...args]);
    all.push(Number(/cmdstat_evalsha:.*usec_per_call=([\d.]+)/.exec(await raw.info("commandstats"))?.[1]));
  }
  all.sort((a, b) => a - b);
  console.log(k, "min", all[0], "p50", all[15]);
}
raw.disconnect();
