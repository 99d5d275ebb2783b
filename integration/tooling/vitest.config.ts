import { electVitest } from "./vitest.ts";

export default electVitest({ unit: 30_000 });
