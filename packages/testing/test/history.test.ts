import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { HistoryLog, readHistory } from "../src/history.ts";
import { hostNow } from "../src/wait.ts";
import { temporary } from "./temporary.ts";

test("a log reads back exactly, token and time included; a torn record at its end is left out", () => {
  using directory = temporary();
  const path = join(directory.path, "a.history");
  const log = new HistoryLog(path);
  const now = hostNow();
  log.write("elected", now, now + 5, 2n ** 63n - 1n, false);
  log.write("claim", now + 6, now + 7, 42n, true);
  log.close();
  appendFileSync(path, Buffer.alloc(17));
  expect(readHistory("a", path)).toEqual([
    { kind: "elected", candidate: "a", from: now, to: now + 5, token: 2n ** 63n - 1n, valid: false },
    { kind: "claim", candidate: "a", from: now + 6, to: now + 7, token: 42n, valid: true },
  ]);
});

test("a log takes as much as a long campaign writes", () => {
  using directory = temporary();
  const path = join(directory.path, "long.history");
  const log = new HistoryLog(path);
  for (let record = 0; record < 30_000; record++) log.write("claim", record, record + 1, 5n, true);
  log.close();
  expect(readHistory("long", path)).toHaveLength(30_000);
});
