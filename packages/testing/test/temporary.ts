import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory that the caller disposes of: `using directory = temporary();`. */
export function temporary(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "elect-testing-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}
