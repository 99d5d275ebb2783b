import { electVitest } from "../tooling/vitest.ts";

export default electVitest({ unit: 120_000 });
