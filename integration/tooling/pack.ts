import { execFileSync } from "node:child_process";

export interface Tarball {
  readonly path: string;
  /** Paths inside, relative to the package. */
  readonly files: readonly string[];
}

/** Packs the built package of `folder` exactly as it would be published. */
export function pack(folder: string, destination: string): Tarball {
  const printed = execFileSync("pnpm", ["pack", "--json", "--pack-destination", destination], {
    cwd: folder,
    encoding: "utf8",
  });
  const { filename: path } = JSON.parse(printed) as { filename: string };
  const files = execFileSync("tar", ["-tzf", path], { encoding: "utf8" })
    .trimEnd()
    .split("\n")
    .map((file) => file.replace(/^package\//, ""));
  return { path, files };
}

/** The text of one file of a tarball. */
export function readPacked({ path }: Tarball, file: string): string {
  return execFileSync("tar", ["-xzOf", path, `package/${file}`], { encoding: "utf8" });
}
