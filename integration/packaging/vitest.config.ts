import { mergeConfig } from "vitest/config";
import { electVitest } from "../tooling/vitest.ts";

export default mergeConfig(electVitest({ unit: 120_000 }), {
  test: { globalSetup: "test/registry-setup.ts" },
});
