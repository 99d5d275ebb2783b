import { createElection } from "@elect/core";
import { holdTerm, postgres } from "@elect/postgres";
import pg from "pg";

const [, , url = "", schema = ""] = process.argv;
const pool = new pg.Pool({ connectionString: url });
{
  await using backend = postgres({ pool, schema });
  await using election = createElection({ backend, name: "own-client" });
  await election.run(async (term) => {
    const client = await pool.connect();
    await client.query("begin");
    await holdTerm(client, term, schema);
    await client.query("commit");
    client.release();
    console.log(`wrote under fencing token ${term.token}`);
  });
}
await pool.end();
