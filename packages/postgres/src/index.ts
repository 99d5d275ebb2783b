export { fromUrl, postgres } from "./adapter.ts";
export type { ConnectionSettings } from "./driver.ts";
export {
  fenceIn,
  holdTerm,
  termCondition,
  type Fence,
  type FencedLeadership,
  type GuardClient,
  type Leadership,
} from "./guard.ts";
export type { ForeignClient, ForeignPool, PostgresOptions, Takeover } from "./options.ts";
export { tableDefinitions } from "./schema.ts";
