import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Consumer } from "./consumer.ts";

let consumer: Consumer;
beforeAll(() => {
  consumer = new Consumer();
});
afterAll(() => {
  consumer[Symbol.dispose]();
});

describe("a project that installed the published packages", () => {
  it("elects from an ES module", async () => {
    expect(JSON.parse(await consumer.node("election.mjs"))).toEqual({ valid: true, token: "bigint" });
  });

  it("elects from CommonJS, by require()", async () => {
    expect(JSON.parse(await consumer.node("election.cjs"))).toEqual({ valid: true, token: "bigint" });
  });

  it.for(["typescript-5.9", "typescript-6", "typescript"])("type-checks with %s", async (typescript) => {
    expect(await consumer.typecheck(typescript)).toBe("");
  });

  it("runs elect --help", async () => {
    expect(await consumer.output("node_modules/.bin/elect", "--help")).toContain("Usage: elect");
  });

  it.for(["ioredis", "pg", "etcd3", "node-zookeeper-client", "vitest"])(
    "does not get %s, which is the user's to install",
    (driver) => {
      expect(consumer.installed(driver)).toBe(false);
    },
  );
});
