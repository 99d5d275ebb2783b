import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { connect } from "../src/connect.ts";
import { createElection } from "../src/election.ts";
import { AdapterMissingError, InvalidOptionError } from "../src/errors.ts";

const elsewhere = mkdtempSync(join(tmpdir(), "elect-connect-"));
const home = process.cwd();
const [, program] = process.argv;

/** What the application has installed, in the directory in which it runs. */
function install(name: string, source: string): void {
  const folder = join(elsewhere, "node_modules", name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name, type: "module", exports: "./index.js" }),
  );
  writeFileSync(join(folder, "index.js"), source);
}

beforeAll(() => {
  install("@elect/redis", "export const fromUrl = (url) => ({ kind: 'redis', from: url });");
  install("@elect/etcd", "throw new Error('built for another Node');");
  install("@elect/postgres", "import 'pg'; export const fromUrl = () => {};");
  process.chdir(elsewhere);
  process.argv[1] = join(elsewhere, "main.js");
});

afterAll(() => {
  process.chdir(home);
  process.argv[1] = program ?? "";
  rmSync(elsewhere, { recursive: true });
});

async function refusal(url: string): Promise<Error> {
  return connect(url).then(
    () => expect.fail(`connected to ${url}`),
    (error: unknown) => error as Error,
  );
}

describe("connect", () => {
  const needs = [
    ["sqlite:./.elect", "@elect/sqlite", "npm install @elect/sqlite"],
    ["zookeeper://user:secret@h1,h2/chroot", "@elect/zookeeper", "@elect/zookeeper node-zookeeper-client"],
  ] as const;
  it.each(needs)(
    "%s names the package that is missing, and how to install it",
    async (url, name, install) => {
      const error = await refusal(url);
      expect(error).toBeInstanceOf(AdapterMissingError);
      expect(error).toMatchObject({ code: "ELECT_ADAPTER_MISSING", package: name });
      expect(error.message).toContain(`npm install ${install.replace("npm install ", "")}"`);
      expect(error.message).not.toContain("secret");
      expect(error.cause).toBeInstanceOf(Error);
    },
  );

  const broken = [
    ["etcd://user:secret@h1", "@elect/etcd etcd3", "built for another Node"],
    ["etcds://user:secret@h1", "@elect/etcd etcd3", "built for another Node"],
    ["postgres://user:secret@h1/db", "@elect/postgres pg", "pg"],
    ["postgresql://user:secret@h1/db", "@elect/postgres pg", "pg"],
  ] as const;
  it.each(broken)("%s whose package cannot be loaded says why", async (url, install, why) => {
    const error = await refusal(url);
    expect(error).toBeInstanceOf(AdapterMissingError);
    expect(error.message).toContain(`npm install ${install}`);
    expect(error.message).not.toContain("secret");
    expect((error.cause as Error).message).toContain(why);
  });

  it("the cause is what is missing, also where the process does not run beside its program", async () => {
    process.chdir("/");
    const { cause } = await refusal("postgres://h1/db").finally(() => process.chdir(elsewhere));
    expect((cause as Error).message).toContain("Cannot find package 'pg'");
  });

  it.each(["redis://h1", "rediss://h1"])("%s loads what the application installed", async (url) => {
    expect(await connect(url)).toMatchObject({ kind: "redis", from: url });
  });

  const meaningless = [
    "",
    "nightly",
    "mysql://user:secret@h1",
    "//user:secret@h1",
    "REDIS://user:secret@h1",
    "constructor:secret",
  ];
  it.each(meaningless)("%j is refused with the schemes that are known", async (url) => {
    const error = await refusal(url);
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ code: "ELECT_INVALID_OPTION", option: "url" });
    for (const scheme of ["memory:", "sqlite:", "zookeeper:", "etcd:", "redis:", "rediss:", "postgres:"])
      expect(error.message).toContain(scheme);
    expect(error.message).not.toContain("secret");
  });

  it("something that is no string is refused", async () => {
    expect(await refusal(undefined as never)).toBeInstanceOf(InvalidOptionError);
  });
});

describe("memory:", () => {
  it("is a store of its own; memory:name is one that the process shares", async () => {
    await using alone = await connect("memory:");
    await using one = await connect("memory:our-own");
    await using same = await connect("memory:our-own");
    const lead = createElection({ backend: one, name: "report", id: "leader" });
    await using _term = await lead.campaign();
    const look = (backend: typeof one) => createElection({ backend, name: "report" }).leader();
    expect(await look(same)).toMatchObject({ id: "leader" });
    expect(await look(alone)).toBeNull();
    expect(same.address).toBe("memory:our-own");
  });

  it.each(["memory:?ttl=5", "memory://user:secret@host", "memory:%zz"])("%s is refused", async (url) => {
    const error = await refusal(url);
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error.message).toContain("memory:some-name");
    expect(error.message).not.toContain("secret");
  });
});
