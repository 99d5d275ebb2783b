import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Consumer } from "./consumer.ts";

const readme = resolve(import.meta.dirname, "../../../README.md");

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

  it("runs the README's first example", async () => {
    const file = consumer.write("example.mts", firstExample(readFileSync(readme, "utf8")));
    expect(await consumer.node(file)).toMatch(/^leading under fencing token \d+\n$/);
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

/** The first block of TypeScript in a page. */
function firstExample(markdown: string): string {
  const block = /^```ts\n(.*?)^```$/ms.exec(markdown)?.[1];
  if (block === undefined) throw new Error("the page has no example");
  return block;
}
