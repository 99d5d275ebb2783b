import { mergeConfig } from "vitest/config";
import { electVitest } from "../tooling/vitest.ts";

// A topology takes seconds to start, and two at a time would only slow each other down.
export default mergeConfig(electVitest({ unit: 120_000 }), {
  test: { globalSetup: "src/global-setup.ts", fileParallelism: false, maxConcurrency: 3 },
});
