/** What a user may choose, by options or by the query of a URL. */

import { fileURLToPath } from "node:url";
import { resolve } from "node:path";
import { InvalidOptionError } from "@elect/core/adapter";

/**
 * What keeps a leader in its place.
 *
 * - `"lock"`: a lock of the kernel, for as long as its process exists. A stopped process keeps its place.
 * - `"lease"`: the same lock, and a lease of one TTL beside it. A stopped process is replaced when it runs out.
 */
export type Mode = "lock" | "lease";

export interface SqliteOptions {
  /** A directory of our own, on a local disk; made if missing. Whoever shares it can elect and be elected. */
  readonly directory: string;
  /** The same for all that share the directory. @default "lock" */
  readonly mode?: Mode;
  /**
   * Allows a directory on an overlay file system, which is usually the private disk of one container: candidates in
   * other containers do not see it and would elect a leader of their own. @default false
   */
  readonly allowOverlay?: boolean;
}

export type Settings = Required<SqliteOptions>;

const known = ["mode", "allowOverlay"];

/** `sqlite:./dir`, `sqlite:/dir`, `sqlite:///dir`, with `?mode=lock|lease` and `?allowOverlay=true|false`. */
export function settingsOf(options: SqliteOptions | string): Settings {
  const {
    directory,
    mode = "lock",
    allowOverlay = false,
  } = typeof options === "string" ? parse(options) : options;
  if (typeof directory !== "string" || directory === "" || directory.includes("\0")) {
    throw new InvalidOptionError(
      "directory",
      'directory must be the path of a directory, such as "./.elect".',
    );
  }
  if (!isMode(mode)) {
    throw new InvalidOptionError("mode", `mode must be "lock" or "lease", not ${JSON.stringify(mode)}.`);
  }
  if (typeof allowOverlay !== "boolean") {
    throw new InvalidOptionError(
      "allowOverlay",
      `allowOverlay must be true or false, not ${String(allowOverlay)}.`,
    );
  }
  return { directory: resolve(directory), mode, allowOverlay };
}

function parse(url: string): SqliteOptions {
  const [, path, query] = /^sqlite:([^?#]*)(?:\?([^#]*))?$/.exec(url) ?? [];
  if (path === undefined || path === "") {
    throw new InvalidOptionError(
      "url",
      `"${url}" is not a SQLite URL: write "sqlite:./.elect" or "sqlite:/var/lib/elect".`,
    );
  }
  const parameters = new URLSearchParams(query ?? "");
  for (const name of parameters.keys()) {
    if (!known.includes(name)) {
      throw new InvalidOptionError(
        "url",
        `"${url}" has an unknown parameter "${name}"; known are ${known.join(", ")}.`,
      );
    }
  }
  return {
    directory: pathIn(path, url),
    mode: (parameters.get("mode") ?? "lock") as Mode,
    allowOverlay: flag(parameters.get("allowOverlay")),
  };
}

function pathIn(path: string, url: string): string {
  if (path.startsWith("//")) {
    if (!path.startsWith("///")) {
      throw new InvalidOptionError(
        "url",
        `"${url}" names a host, and a file has none: write "sqlite:/dir" or "sqlite:///dir".`,
      );
    }
    return fileURLToPath(`file:${path}`);
  }
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new InvalidOptionError("url", `"${url}" has a "%" that is not an escape: write it as "%25".`, {
      cause,
    });
  }
}

function flag(text: string | null): boolean {
  if (text === null || text === "false") return false;
  if (text === "true") return true;
  throw new InvalidOptionError(
    "allowOverlay",
    `allowOverlay must be true or false, not ${JSON.stringify(text)}.`,
  );
}

function isMode(value: unknown): value is Mode {
  return value === "lock" || value === "lease";
}
