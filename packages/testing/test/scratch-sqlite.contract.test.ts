import { mkdtempSync } from "node:fs";
import { sqlite } from "../../sqlite/src/index.ts";
import { describeElectionContract } from "../src/contract.ts";
for (const mode of ["lock", "lease"] as const) {
const url = `sqlite:${mkdtempSync("/var/tmp/elect-ct-")}?mode=${mode}`;
describeElectionContract({
  name: "sqlite " + mode,
  url,
  connect: sqlite,
  adapter: new URL("../../sqlite/src/index.ts", import.meta.url).href,
  faults: {none: "there is no network between a process and its file system"},
  operator: {none: "to be written by the sqlite colleague"},
  capabilities: sqlite(url).capabilities,
});
}
