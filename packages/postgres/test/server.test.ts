/** What is made of what a server says about itself: for servers that the tests cannot start. */

import { describe, expect, test } from "vitest";
import { settle } from "../src/options.ts";
import { judge } from "../src/server.ts";

const settings = settle("postgres://db/app");
const sound = {
  version: "170000",
  recovering: "false",
  read_only: "off",
  timeline: "1",
  fsync: "on",
  asynchronous: "false",
  cluster: "7",
  database: "app",
};

describe("judging a server", () => {
  test("a sound one: the store is cluster, database and schema", () => {
    expect(judge(sound, settings)).toEqual({ store: "7/app/elect", warnings: [] });
  });

  test.each([
    ["older than 12", { version: "110022" }, "version"],
    ["of an unknown version", { version: null }, "version"],
    ["a standby", { recovering: "true" }, "standby"],
    ["read only", { read_only: "on" }, "standby"],
    ["promoted too often for a token", { timeline: "2097152" }, "timeline"],
  ])("refused: %s", (_, found, refusal) => {
    expect(() => judge({ ...sound, ...found }, settings)).toThrow(expect.objectContaining({ refusal }));
  });

  test.each([
    ["cannot end a silent session", { version: "130000" }, "stopped keeps its place"],
    ["does not sync", { fsync: "off" }, "fsync"],
    ["has standbys that follow asynchronously", { asynchronous: "true" }, "synchronous_standby_names"],
  ])("a warning: it %s", (_, found, warning) => {
    const { warnings } = judge({ ...sound, ...found }, settings);
    expect(warnings).toEqual([expect.stringContaining(warning)]);
  });
});
