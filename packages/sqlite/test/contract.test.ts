import { describeElectionContract } from "@elect/testing/contract";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { sqlite } from "../src/index.ts";
import { peek } from "./rig.ts";

const leftovers =
  "select name from election where name = ?1 union all select candidate from waiting where election = ?1";

for (const mode of ["lock", "lease"] as const) {
  const directory = mkdtempSync(join(tmpdir(), "elect-contract-"));
  const url = `sqlite:${directory}?mode=${mode}`;
  const run = (sql: string, election: string) =>
    peek(directory, (database) => database.prepare(sql).all(election));
  afterAll(() => rmSync(directory, { recursive: true }));

  describeElectionContract({
    name: `sqlite (${mode})`,
    url,
    connect: sqlite,
    adapter: import.meta.resolve("../src/index.ts"),
    faults: { none: "There is no network between a candidate and its disk." },
    operator: {
      removeLeader: async (name) => void run("delete from election where name = ?", name),
      endSession: async (name) =>
        void run("delete from session where id = (select session from election where name = ?)", name),
      leftovers: async (name) => run(leftovers, name).map((row) => String(row["name"])),
    },
    capabilities: {
      reach: "host",
      crash: { ttls: 0, plusMs: 60 },
      stopped: mode === "lock" ? null : { ttls: 1, plusMs: 60 },
      order: "none",
      maxTtlMs: 86_400_000,
      limits: sqlite(url).capabilities.limits,
    },
  });
}
