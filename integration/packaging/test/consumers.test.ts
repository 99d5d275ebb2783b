// Everything that is published, in one project, and none of the drivers.
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { Project, runtimes } from "./project.ts";
import { published } from "./published.ts";

let project: Project;
beforeAll(async () => {
  project = new Project(inject("registry"));
  project.copy("consumer");
  await project.install("--legacy-peer-deps", ...published.map((name) => `@elect/${name}`), "@types/node");
});
afterAll(() => project[Symbol.dispose]());

const both = Object.entries(runtimes).flatMap(([runtime, node]) =>
  ["election.mjs", "election.cjs"].map((program) => ({ runtime, node, program })),
);

describe("a project that installed the published packages", () => {
  it.for(both)("elects from $program on $runtime", async ({ node, program }) => {
    const ending = await project.run(node, [program]);
    expect(ending).toMatchObject({ code: 0, err: "" });
    expect(JSON.parse(ending.out)).toEqual({ valid: true, token: "bigint" });
  });

  it.for(["typescript-5.9", "typescript-6", "typescript"])("type-checks with %s", async (typescript) => {
    expect(await project.typescript(typescript)).toMatchObject({ code: 0, out: "" });
  });

  it("runs elect --help", async () => {
    const { code, out } = await project.run("node_modules/.bin/elect", ["--help"]);
    expect(code).toBe(0);
    expect(out).toContain("Usage: elect");
  });

  it("does not get vitest, which is the user's to install", () => {
    expect(project.installed("vitest")).toBeUndefined();
  });
});
