import { createElection } from "@elect/core";
import { etcd, guardedTxn } from "@elect/etcd";
import { Etcd3 } from "etcd3";

const [, , url = "", namespace = ""] = process.argv;
const client = new Etcd3({ hosts: url.replace("etcd://", "http://") });
{
  await using backend = etcd({ client, namespace });
  await using election = createElection({ backend, name: "own-client" });
  await election.run(async (term) => {
    const write = client.put(`${namespace}-written`).value("once");
    if (await guardedTxn(client, term, [write], { namespace }))
      console.log(`wrote under fencing token ${term.token}`);
  });
}
client.close();
