import { resolve } from "node:path";
import type { Plugin } from "vitest/config";

import { electVitest } from "../../integration/tooling/vitest.ts";

const source = resolve(import.meta.dirname, "src");

/** `ELECT_CORE_SOURCE=<folder>` runs these tests on another copy of `src`: that is how mutations are tried. */
function coreFrom(copy: string): Plugin {
  return {
    name: "core-from",
    enforce: "pre",
    async resolveId(id, importer, options) {
      const found = await this.resolve(id, importer, { ...options, skipSelf: true });
      return found?.id.startsWith(`${source}/`) === true ? found.id.replace(source, copy) : found;
    },
  };
}

const copy = process.env["ELECT_CORE_SOURCE"];
const config = electVitest();

export default copy === undefined
  ? config
  : {
      ...config,
      plugins: [coreFrom(resolve(copy))],
      // The cache knows a test file by its own text, and would answer with what it imported last time.
      test: { ...config.test, fsModuleCache: false },
    };
