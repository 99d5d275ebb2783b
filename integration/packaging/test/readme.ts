import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "../../..");

/** What a README tells its reader to do first. */
export interface Readme {
  /** Its first block of TypeScript. */
  readonly example: string;
  /** The words after its first `npm install`. */
  readonly install: readonly string[];
}

export function readReadme(folder: string): Readme {
  const text = readFileSync(resolve(root, folder, "README.md"), "utf8");
  const [, example] = /^```ts\n(.*?)^```$/ms.exec(text) ?? [];
  const [, words] = /\bnpm install ([^`\n]+)/.exec(text) ?? [];
  if (example === undefined || words === undefined) throw new Error(`${folder}/README.md has no example`);
  return { example, install: words.split(" ") };
}
