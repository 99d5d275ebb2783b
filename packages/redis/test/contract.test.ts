import { describeRedisContract } from "./contract.ts";
import { sharedServer } from "./support.ts";

await describeRedisContract("redis", await sharedServer());
