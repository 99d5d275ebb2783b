// A process of its own, started by run.ts: when the process that started it is gone, it removes what that one left.
import { once } from "node:events";
import { sweepUntilClean } from "./run.ts";

const [id] = process.argv.slice(2);
if (id === undefined) throw new Error("usage: sweeper.ts <run id>");

process.stdin.resume();
await once(process.stdin, "close");
await sweepUntilClean(id);
