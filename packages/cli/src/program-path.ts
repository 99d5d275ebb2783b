/** Where the programs are that this one starts: `.ts` when run from source (Node strips the types), `.js` when built. */

import { fileURLToPath } from "node:url";

/** `source` is the program's source, as `new URL("./name.ts", import.meta.url)`. */
export function programPath(source: URL): string {
  const path = fileURLToPath(source);
  return import.meta.url.endsWith(".ts") ? path : path.replace(/\.ts$/, ".js");
}

/** Of the options that this Node was given, those that decide how packages are found. */
export function resolutionOptions(): string[] {
  return process.execArgv.filter((argument) => /^(--conditions=|-C=)/.test(argument));
}
