/** The suite on a store that needs no server; `ELECT_TESTING_BROKEN` breaks it (see `controls.contract.test.ts`). */
import { afterAll } from "vitest";
import { describeElectionContract, networkFaults } from "../src/contract.ts";
import { capabilities, fromUrl } from "./wire/adapter.ts";
import { WireServer, type Breakage } from "./wire/server.ts";

const broken = process.env["ELECT_TESTING_BROKEN"] as Breakage | undefined;
const server = new WireServer(broken);
afterAll(() => server.close());
const url = `wire://127.0.0.1:${await server.listen()}/${broken ?? ""}`;

describeElectionContract({
  name: "wire",
  url,
  connect: fromUrl,
  adapter: import.meta.resolve("./wire/adapter.ts"),
  faults: networkFaults(url),
  operator: {
    removeLeader: (election) => server.removeLeader(election),
    endSession: (election) => server.endSession(election),
    leftovers: (election) => server.leftovers(election),
  },
  capabilities,
});
