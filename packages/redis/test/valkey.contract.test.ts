import { startValkey } from "../../../integration/servers/src/index.ts";
import { describeRedisContract } from "./contract.ts";

await describeRedisContract("valkey (RD-17)", await startValkey());
