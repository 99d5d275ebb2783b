// A package registry on the loopback interface, so that npm installs here as it does for a stranger: by name and range,
// peers included. It has our packages, each as its tarball, and what pnpm has installed in this workspace. So a test
// needs no network, and the lockfile decides which drivers are tried, not what was published this morning.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { pipeline, type Readable } from "node:stream";
import { pack, readPacked } from "../../tooling/pack.ts";
import { published } from "./published.ts";

const workspace = resolve(import.meta.dirname, "../../..");
/** Every package that is installed somewhere in the workspace: `<name>@<version>…/node_modules/<name>`, `/` as `+`. */
const installed = join(workspace, "node_modules/.pnpm");

interface Manifest {
  readonly name: string;
  readonly version: string;
}

interface Release {
  readonly manifest: Manifest;
  readonly tarball: () => Readable;
}

export interface Registry extends AsyncDisposable {
  readonly url: string;
}

export async function startRegistry(): Promise<Registry> {
  await using parts = new AsyncDisposableStack();
  const scratch = mkdtempSync(join(tmpdir(), "elect-registry-"));
  parts.defer(() => rmSync(scratch, { recursive: true }));
  const ours = new Map(
    published.map((name): [string, Release[]] => {
      const tarball = pack(join(workspace, "packages", name), scratch);
      const manifest = JSON.parse(readPacked(tarball, "package.json")) as Manifest;
      return [manifest.name, [{ manifest, tarball: () => createReadStream(tarball.path) }]];
    }),
  );

  const server = createServer((request, response) => {
    // `/<name>` is all about a package, `/<name>/-/<version>.tgz` one tarball.
    const path = decodeURIComponent(request.url ?? "").slice(1);
    const [name = "", version] = path.split(/\/-\/(.*)\.tgz$/);
    const releases = ours.get(name) ?? installedReleases(name);
    const wanted = releases.find(({ manifest }) => manifest.version === version);
    if (wanted !== undefined) pipeline(wanted.tarball(), response, () => {});
    else if (version === undefined && releases.length > 0) {
      response.end(JSON.stringify(packument(releases, `http://${request.headers.host}/${name}/-/`)));
    } else response.writeHead(404).end("{}");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  parts.defer(() => server.close().closeAllConnections());
  const kept = parts.move();
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    [Symbol.asyncDispose]: async () => kept.disposeAsync(),
  };
}

/** What a registry says about a package. */
function packument(releases: readonly Release[], tarballs: string): object {
  const versions = releases.map(({ manifest }): [string, object] => {
    const { version } = manifest;
    return [version, { ...manifest, dist: { tarball: `${tarballs}${version}.tgz` } }];
  });
  const latest = releases.at(-1)?.manifest.version;
  return { "dist-tags": { latest }, versions: Object.fromEntries(versions) };
}

/** Ascending, so that the last is the latest. */
function installedReleases(name: string): Release[] {
  return globSync(`${name.replace("/", "+")}@*/node_modules/${name}/package.json`, { cwd: installed })
    .map((file) => join(installed, file))
    .map((file) => ({
      manifest: JSON.parse(readFileSync(file, "utf8")) as Manifest,
      tarball: () => tarballOf(dirname(file)),
    }))
    .toSorted((a, b) => a.manifest.version.localeCompare(b.manifest.version, "en", { numeric: true }));
}

/** A tarball's one folder may have any name: whoever unpacks it takes the name off. */
function tarballOf(folder: string): Readable {
  const words = ["-cz", "--exclude=node_modules", "-C", dirname(folder), basename(folder)];
  return spawn("tar", words, { stdio: ["ignore", "pipe", "inherit"] }).stdout;
}
