import { electVitest } from "../tooling/vitest.ts";

export default electVitest();
