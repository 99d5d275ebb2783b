/** Hazards that need other file systems, users, namespaces or versions of Node: each says what it lacks where it cannot run. */

import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test, type TestContext } from "vitest";
import { hostClock } from "../src/host-clock.ts";
import {
  adapterOn,
  call,
  claim,
  openSession,
  OtherProcess,
  request,
  temporaryDirectory,
  win,
} from "./rig.ts";

describe("SQ-5 a directory whose locks cannot be trusted", () => {
  const on = (type: number) => ({ clock: hostClock, fileSystemType: () => type });

  test.each([
    ["NFS", 0x6969],
    ["CIFS", 0xff534d42],
    ["9p", 0x01021997],
    ["FUSE or virtiofs", 0x65735546],
    ["Ceph", 0x00c36400],
    ["Lustre", 0x0bd00bd0],
  ])("on %s is refused, and nothing is made there", async (name, type) => {
    const directory = join(temporaryDirectory(), "elect");
    await expect(openSession(adapterOn({ directory }, on(type)))).rejects.toMatchObject({
      code: "ELECT_REFUSED",
      refusal: "network-file-system",
      message: expect.stringContaining(name) as string,
    });
    expect(existsSync(directory)).toBe(false);
  });

  test("on a container's own overlay is refused, unless all candidates are said to live there", async () => {
    const directory = temporaryDirectory();
    await expect(openSession(adapterOn({ directory }, on(0x794c7630)))).rejects.toMatchObject({
      refusal: "overlay-file-system",
      message: expect.stringContaining("allowOverlay") as string,
    });
    await openSession(adapterOn({ directory, allowOverlay: true }, on(0x794c7630)));
  });

  test("on a real overlay is refused, and locks hold there where it is allowed", async (context) => {
    const directory = mounted(context, (base) => {
      for (const name of ["lower", "upper", "work"]) mkdirSync(join(base, name));
      const layers = `lowerdir=${base}/lower,upperdir=${base}/upper,workdir=${base}/work`;
      return ["-t", "overlay", "overlay", "-o", layers];
    });
    await expect(openSession(adapterOn({ directory }))).rejects.toMatchObject({
      refusal: "overlay-file-system",
    });
    const session = await openSession(adapterOn({ directory, allowOverlay: true }));
    const bid = request("report");
    await win(session, bid);
    expect(await session.prove(new Map(), call())).toMatchObject({ kind: "alive" });
  });

  test("on a file system that forgets is allowed, with a warning", async () => {
    const session = await openSession(adapterOn({ directory: temporaryDirectory() }, on(0x01021994)));
    expect(session.warnings).toEqual([expect.stringContaining("after a reboot")]);
  });
});

describe("SQ-8 errors that need a place for them", () => {
  test("a full disk: the claim is refused with a reason, nothing is lost, and it goes on when there is space", async (context) => {
    const directory = mounted(context, () => ["-t", "tmpfs", "tmpfs", "-o", "size=512k"]);
    const session = await openSession(adapterOn({ directory }));
    const bid = request("first");
    await win(session, bid);
    const filler = join(directory, "filler");
    fill(filler);
    const many = Array.from({ length: 1_000 }, (_, index) => request(`e${index}`));
    await expect(session.claim(many, call())).rejects.toMatchObject({
      code: "ELECT_REFUSED",
      refusal: "full",
    });
    expect(await session.prove(new Map([[bid.nonce, bid]]), call())).toMatchObject({
      kind: "alive",
      lost: [],
    });
    rmSync(filler);
    expect(await win(session, request("second"))).toBe(2n);
  });

  test("a file system that was mounted read-only", async (context) => {
    const directory = mounted(context, () => ["-t", "tmpfs", "tmpfs", "-o", "size=1m"]);
    const adapter = adapterOn({ directory });
    await (await openSession(adapter)).end(call());
    await adapter.close();
    run("mount", ["-o", "remount,ro", directory]);
    await expect(openSession(adapterOn({ directory }))).rejects.toMatchObject({
      code: "ELECT_REFUSED",
      refusal: "permission",
    });
  });

  test("a directory of another user", async (context) => {
    if (process.getuid?.() !== 0) context.skip("needs root, to run a process as another user");
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory }));
    await win(session, request("report"));
    const stranger = new OtherProcess(directory, "lock", { uid: 65_534 });
    await expect(stranger.ask({ kind: "open", ttlMs: 1_000 })).rejects.toMatchObject({
      code: "ELECT_REFUSED",
    });
  });

  test("a directory shared by its permissions: users elect one leader among them, and replace each other", async (context) => {
    if (process.getuid?.() !== 0) context.skip("needs root, to run a process as another user");
    const base = temporaryDirectory();
    chmodSync(base, 0o755);
    const directory = join(base, "shared");
    mkdirSync(directory);
    chmodSync(directory, 0o777);
    for (const mode of ["lock", "lease"] as const) {
      const own = await openSession(adapterOn({ directory, mode }));
      await win(own, request("report"));
      const stranger = new OtherProcess(directory, mode, { uid: 65_534 });
      await stranger.ask({ kind: "open", ttlMs: 1_000 });
      expect((await stranger.claim(request("report"))).kind).toBe("held");
      own.abandon();
      await stranger.win(request("report"));
      const next = await openSession(adapterOn({ directory, mode }));
      expect((await claim(next, request("report"))).kind).toBe("held");
      await stranger.kill();
      await win(next, request("report"));
      await next.end(call());
    }
  });
});

describe("SQ-10 containers that share the volume", () => {
  test("but not the PID namespace: one leader, and it is replaced when it dies", async (context) => {
    const wrapper = namespace(context, "--pid", "--fork", "--kill-child");
    const directory = temporaryDirectory();
    const inside = new OtherProcess(directory, "lock", { wrapper });
    await inside.ask({ kind: "open", ttlMs: 10_000 });
    const bid = request("report");
    await inside.win(bid);
    expect(await inside.prove(bid)).toMatchObject({ kind: "alive" });
    const session = await openSession(adapterOn({ directory }));
    const own = request("report");
    expect((await claim(session, own)).kind).toBe("held");
    await inside.ask({ kind: "release", claims: [bid] });
    await win(session, own);
    expect((await inside.claim(request("report"))).kind).toBe("held");
  });

  test("but not the clock: mode lease is refused, mode lock elects one leader", async (context) => {
    const wrapper = namespace(context, "--time", "--monotonic", "100000", "--fork", "--kill-child");
    const directory = temporaryDirectory();
    const session = await openSession(adapterOn({ directory, mode: "lease" }));
    const inside = new OtherProcess(directory, "lease", { wrapper });
    await expect(inside.ask({ kind: "open", ttlMs: 1_000 })).rejects.toMatchObject({ code: "ELECT_REFUSED" });
    // And it has not taken the other's lease, which by its own clock is long over, for a reason to end it.
    expect(await session.prove(new Map(), call())).toMatchObject({ kind: "alive" });
    await session.end(call());

    const locked = await openSession(adapterOn({ directory, mode: "lock" }));
    await win(locked, request("report"));
    const other = new OtherProcess(directory, "lock", { wrapper });
    await other.ask({ kind: "open", ttlMs: 1_000 });
    expect((await other.claim(request("report"))).kind).toBe("held");
  });
});

describe("SQ-12 every Node there is", () => {
  const found = nodes();

  test.each(found)("Node $version: elects, or says what it lacks", ({ path, version, major, minor }) => {
    const place = temporaryDirectory();
    installPlain(place);
    writeFileSync(join(place, "smoke.mjs"), smoke);
    const { stdout, stderr } = spawnSync(path, ["--disable-warning=ExperimentalWarning", "smoke.mjs"], {
      cwd: place,
      encoding: "utf8",
    });
    const offers = major > 22 || (major === 22 && minor >= 13);
    expect(`${stdout}${offers ? stderr : ""}`.trim(), version).toBe(offers ? "1 2" : "ELECT_REFUSED runtime");
  });
});

const smoke = `
import { SqliteAdapter } from "./node_modules/@elect/sqlite/adapter.js";
const call = { signal: new AbortController().signal, timeoutMs: 5000 };
const events = { hint() {}, doubt() {}, lost() {}, ended() {} };
const bid = (nonce) => ({ election: "e", nonce, candidate: { id: "i", metadata: "" }, unchanged: null });
try {
  const adapter = new SqliteAdapter("sqlite:./dir?mode=lease");
  const open = (nonce) => adapter.open({ ttlMs: 1000, nonce, events }, call);
  const [one, two] = [await open("aa"), await open("bb")];
  const [first] = await one.claim([bid("a1")], call);
  const [held] = await two.claim([bid("b1")], call);
  if (held.kind !== "held") throw new Error("two leaders");
  await one.prove(new Map(), call);
  await one.end(call);
  if (two.poll.look(new Map()).length !== 1) throw new Error("no news");
  const [second] = await two.claim([bid("b1")], call);
  await two.end(call);
  await adapter.close();
  console.log(String(first.token), String(second.token));
} catch (error) {
  console.log(error.code, error.refusal ?? error.stack);
}`;

/** Core and this package as plain JavaScript, for versions of Node that read no TypeScript. */
function installPlain(place: string): void {
  const packages = fileURLToPath(new URL("../../", import.meta.url));
  for (const name of ["core", "sqlite"]) {
    const target = join(place, "node_modules", "@elect", name);
    mkdirSync(target, { recursive: true });
    const source = join(packages, name, "src");
    for (const file of readdirSync(source).filter((each) => each.endsWith(".ts"))) {
      const plain = stripTypeScriptTypes(readFileSync(join(source, file), "utf8"));
      writeFileSync(
        join(target, file.replace(/\.ts$/, ".js")),
        plain.replaceAll(/(from "\.[^"]*)\.ts"/g, '$1.js"'),
      );
    }
    const exports = { ".": "./index.js", "./adapter": "./adapter.js" };
    writeFileSync(
      join(target, "package.json"),
      JSON.stringify({ name: `@elect/${name}`, type: "module", exports }),
    );
  }
}

/** This Node, those on the PATH, and those that \`ELECT_TEST_NODES\` lists. */
function nodes(): { path: string; version: string; major: number; minor: number }[] {
  const listed = (process.env["ELECT_TEST_NODES"] ?? "").split(delimiter);
  const onPath = (process.env["PATH"] ?? "").split(delimiter).map((directory) => join(directory, "node"));
  const versions = new Map<string, string>();
  for (const path of [process.execPath, ...listed, ...onPath].filter(
    (each) => each !== "" && existsSync(each),
  )) {
    const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8" });
    if (/^v\d/.test(stdout)) versions.set(stdout.trim(), path);
  }
  return [...versions].map(([version, path]) => {
    const [major = 0, minor = 0] = version.slice(1).split(".").map(Number);
    return { path, version, major, minor };
  });
}

/** A directory with something mounted on it; skips where that is not allowed. */
function mounted(context: TestContext, options: (base: string) => readonly string[]): string {
  const base = temporaryDirectory();
  const directory = join(base, "mounted");
  mkdirSync(directory);
  const { status, stderr } = run("mount", [...options(base), directory]);
  if (status !== 0) context.skip(`this process may not mount: ${stderr}`);
  onTestFinished(() => void run("umount", ["-l", directory]));
  return directory;
}

/** A way to run a program in namespaces of its own; skips where that is not allowed. */
function namespace(context: TestContext, ...flags: string[]): string[] {
  const wrapper = ["unshare", ...flags];
  const [program = "", ...rest] = wrapper;
  const { status, stderr, error } = run(program, [...rest, "true"]);
  if (status !== 0) context.skip(`this process may not make namespaces: ${stderr || String(error)}`);
  return wrapper;
}

function run(program: string, parameters: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(program, parameters, { encoding: "utf8" });
}

function fill(path: string): void {
  for (let size = 512 * 1024; size >= 1024; size /= 2) {
    try {
      writeFileSync(path, Buffer.alloc(size), { flag: "a" });
    } catch {
      // Smaller.
    }
  }
}
