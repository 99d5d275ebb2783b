import { startValkey } from "../../../integration/servers/src/index.ts";
import { describeRedisContract } from "./contract.ts";

// RD-17: Valkey in place of Redis, with identical results.
await describeRedisContract("valkey", await startValkey());
