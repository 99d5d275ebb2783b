// What a user sees who has not installed everything that a store needs.
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { Project, runtimes } from "./project.ts";
import { readReadme } from "./readme.ts";

const withDriver = [
  { name: "zookeeper", url: "zookeeper://h1,h2/chroot", driver: "node-zookeeper-client" },
  { name: "etcd", url: "etcd://h1,h2", driver: "etcd3" },
  { name: "redis", url: "redis://h1", driver: "ioredis" },
  { name: "postgres", url: "postgres://h1/app", driver: "pg" },
];
const stores = [{ name: "sqlite", url: "sqlite:./.elect" }, ...withDriver];
const adapters = withDriver.map(({ name }) => `@elect/${name}`);

let project: Project;

function inProjectWith(...words: string[]): void {
  beforeAll(async () => {
    project = new Project(inject("registry"));
    await project.install(...words);
  });
  afterAll(() => project[Symbol.dispose]());
}

/** What `connect(url)` rejects with, in a program of the project. */
async function refusal(url: string): Promise<{ code: string; message: string; cause: string }> {
  const program = `
    import { connect } from "@elect/core";
    const { code, message, cause } = await connect("${url}").catch((error) => error);
    console.log(JSON.stringify({ code, message, cause: cause.message }));
  `;
  project.write("connect.js", program);
  const { out } = await project.run(runtimes.node24, ["connect.js"]);
  return JSON.parse(out) as { code: string; message: string; cause: string };
}

describe("without the adapter", () => {
  inProjectWith("@elect/core");

  it.for(stores)("connect() says what $name needs, as its README does", async ({ name, url }) => {
    const { code, message } = await refusal(url);
    expect(code).toBe("ELECT_ADAPTER_MISSING");
    const missing = readReadme(`packages/${name}`).install.filter((word) => word !== "@elect/core");
    expect(message).toContain(`run "npm install ${missing.join(" ")}"`);
  });
});

describe("without the driver, where npm was told to leave peers out", () => {
  inProjectWith("--legacy-peer-deps", "@elect/core", ...adapters);

  it.for(withDriver)("@elect/$name says that it needs $driver", async ({ name, driver }) => {
    expect(project.installed(driver)).toBeUndefined();
    const words = ["--input-type=module", "--eval", `import "@elect/${name}"`];
    const { code, err } = await project.run(runtimes.node24, words);
    expect(code).toBe(1);
    expect(err).toMatch(new RegExp(`Cannot find package '${driver}' imported from .*/@elect/${name}/`));
  });

  it.for(withDriver)(
    "connect() says what $name needs, and what is missing",
    async ({ name, driver, url }) => {
      const { code, message, cause } = await refusal(url);
      expect(code).toBe("ELECT_ADAPTER_MISSING");
      expect(message).toContain(`run "npm install @elect/${name} ${driver}"`);
      expect(cause).toContain(`Cannot find package '${driver}'`);
    },
  );
});

describe("with nothing but the adapters named", () => {
  inProjectWith(...adapters);

  it.for(["@elect/core", ...withDriver.map(({ driver }) => driver)])("npm brings %s", (peer) => {
    expect(project.installed(peer)).toBeDefined();
  });
});
