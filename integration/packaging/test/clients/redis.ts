import { createElection } from "@elect/core";
import { guardedSet, redis } from "@elect/redis";
import { Redis } from "ioredis";

const [, , url = "", namespace = ""] = process.argv;
const client = new Redis(url);
{
  await using backend = redis({ client, namespace });
  await using election = createElection({ backend, name: "own-client" });
  await election.run(async ({ token }) => {
    const term = { election: "own-client", token, namespace };
    if (await guardedSet(client, term, `{${namespace}}:written`, "once"))
      console.log(`wrote under fencing token ${token}`);
  });
}
client.disconnect();
