import { electVitest } from "../../integration/tooling/vitest.ts";

export default electVitest({ unit: 120_000 });
