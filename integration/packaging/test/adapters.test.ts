// Each adapter alone, in an empty project, installed as its README says. At both ends of what it admits (its driver's range,
// Node's `engines`), the README's example and a program with a client of its own type-check, lead on a real server, and
// end by themselves.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { startStores, type Store, type StoreName } from "../../servers/campaigns/stores.ts";
import type { Ending } from "../../tooling/run-to-end.ts";
import { Project, runtimes } from "./project.ts";
import { readReadme } from "./readme.ts";

interface Adapter {
  readonly name: string;
  readonly store: StoreName;
  readonly driver: string;
  /** Describes the driver to TypeScript, where it does not do so itself: for programs that use the driver. */
  readonly types: readonly string[];
}

const zookeeperTypes = "@types/node-zookeeper-client";
const adapters: readonly Adapter[] = [
  { name: "zookeeper", store: "ZooKeeper", driver: "node-zookeeper-client", types: [zookeeperTypes] },
  { name: "etcd", store: "etcd", driver: "etcd3", types: [] },
  { name: "redis", store: "Redis", driver: "ioredis", types: [] },
  { name: "postgres", store: "PostgreSQL", driver: "pg", types: ["@types/pg"] },
];

const installations = adapters.flatMap((adapter) =>
  [`packages/${adapter.name}`, "integration/oldest"].map((place) => ({
    ...adapter,
    version: versionAt(place, adapter.driver),
  })),
);

function versionAt(place: string, name: string): string {
  const file = resolve(import.meta.dirname, "../../..", place, "node_modules", name, "package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

// Not in a hook, whose time is limited: engine and images may have to be made first.
const stores = await startStores(adapters.map(({ store }) => store));
afterAll(async () => stores[Symbol.asyncDispose]());

describe.for(installations)(
  "@elect/$name with $driver $version",
  ({ name, store, driver, version, types }) => {
    const readme = readReadme(`packages/${name}`);
    let project: Project;
    let at: Store;

    beforeAll(async () => {
      at = stores.all.find((candidate) => candidate.name === store)!;
      project = new Project(inject("registry"));
      const words = readme.install.map((word) => (word === driver ? `${driver}@${version}` : word));
      await project.install(...words, "@types/node", ...types);
      project.copy(`clients/${name}.ts`, "own-client.ts");
      await writePrograms(project, withUrl(readme.example, at.url));
    });
    afterAll(() => project[Symbol.dispose]());

    it("has the driver as its peer, and nothing of ours but core", () => {
      expect(project.installed(driver)).toBe(version);
      const scope = join(project.folder, "node_modules/@elect");
      expect(readdirSync(scope).toSorted()).toEqual(["core", name].toSorted());
      expect(readdirSync(join(scope, name))).not.toContain("node_modules");
    });

    it("runs its README's example, and the first page's, which is told a URL", async () => {
      await expectTerms(project, at.url);
    });

    it("takes a client of the driver's, and guards what is written with it", async () => {
      const [, namespace = ""] = /=(\w+)$/.exec(at.url) ?? [];
      for (const [runtime, program] of programs("own-client")) {
        const ending = await project.run(runtime, [program, at.server.url, namespace]);
        expect(ending).toMatchObject({ code: 0, err: "" });
        expect(ending.out).toMatch(/^wrote under fencing token \d+\n$/);
      }
    });
  },
);

describe("@elect/sqlite", () => {
  it("runs its README's example, and the first page's, without any driver", async () => {
    using project = new Project(inject("registry"));
    const readme = readReadme("packages/sqlite");
    await project.install(...readme.install, "@types/node");
    await writePrograms(project, readme.example);
    // Its README says so: Node before 24.15 warns when it loads `node:sqlite`.
    await expectTerms(project, "sqlite:./.elect", "--disable-warning=ExperimentalWarning");
  });
});

/** A program as it is, where types are stripped and `await using` is known; and as TypeScript compiles it for before. */
function programs(name: string) {
  return [
    [runtimes.node24, `${name}.ts`],
    [runtimes.node22, `compiled/${name}.js`],
  ] as const;
}

async function writePrograms(project: Project, example: string): Promise<void> {
  project.write("example.ts", example);
  project.write("first-page.ts", readReadme(".").example);
  project.copy("consumer/tsconfig.json", "tsconfig.json");
  // The drivers' own declarations are not all strict.
  const compile = ["--skipLibCheck", "--noEmit", "false", "--outDir", "compiled"];
  expect(await project.typescript("typescript", ...compile)).toMatchObject({ code: 0, out: "", err: "" });
}

/** Each program leads and ends; and all of them the same election of the same store, for their tokens rise. */
async function expectTerms(project: Project, url: string, ...flags: string[]): Promise<void> {
  let last = 0n;
  for (const [runtime, program] of [...programs("example"), ...programs("first-page")]) {
    const token = tokenOf(await project.run(runtime, [...flags, program], { ELECT_URL: url }));
    expect(token > last, `token ${token} after ${last}`).toBe(true);
    last = token;
  }
}

/** From the last word to the end of the process: the term is resigned, the store let go of, no timer left. */
const promptMs = 5_000;

function tokenOf(ending: Ending): bigint {
  expect(ending).toMatchObject({ code: 0, err: "" });
  expect(ending.out).toMatch(/^leading under fencing token \d+\n$/);
  expect(ending.lingeredMs).toBeLessThan(promptMs);
  return BigInt(/\d+/.exec(ending.out)![0]);
}

function withUrl(example: string, url: string): string {
  const urls = /"\w+:\/\/[^"]+"/g;
  expect(example.match(urls)).toHaveLength(1);
  return example.replace(urls, JSON.stringify(url));
}
