import { mergeConfig } from "vitest/config";
import { electVitest } from "../../integration/tooling/vitest.ts";

// These tests wait more than they compute. The longest of them is twenty lives of a leader.
export default mergeConfig(electVitest({ unit: 120_000 }), { test: { maxWorkers: 2 } });
