import { createElection } from "@elect/core";
import { guardedMulti, zookeeper } from "@elect/zookeeper";
import { createClient, type Transaction } from "node-zookeeper-client";

const [, , url = "", namespace = ""] = process.argv;
const client = createClient(url.replace("zookeeper://", ""));
client.connect();
{
  await using backend = zookeeper({ client, namespace });
  await using election = createElection({ backend, name: "own-client" });
  await election.run(async (term) => {
    const write = (transaction: Transaction) =>
      transaction.create(`/${namespace}-${term.token}`, Buffer.from("once"));
    if (await guardedMulti(client, term, write, { namespace }))
      console.log(`wrote under fencing token ${term.token}`);
  });
}
client.close();
