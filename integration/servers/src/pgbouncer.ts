// PgBouncer in front of a PostgreSQL. The database in the URL chooses how it pools: `transaction` lends a connection
// for one transaction, which breaks session locks and LISTEN, `statement` for one statement; `session` lends it for as long
// as the client stays.
import { postgresAnswers } from "./answers.ts";
import { createPeerNetwork } from "./peer-network.ts";
import { freePorts } from "./ports.ts";
import { postgresPassword, postgresRecipe, postgresUrl, type PostgresOptions } from "./postgres.ts";
import type { Server } from "./server.ts";
import { startServer } from "./start.ts";

export interface PooledPostgres extends AsyncDisposable {
  /** Through the pool, a connection per transaction. */
  readonly transactionUrl: string;
  /** Through the pool, a connection per statement. */
  readonly statementUrl: string;
  /** Through the pool, a connection per session. */
  readonly sessionUrl: string;
  readonly pooler: Server;
  /** The server behind it. */
  readonly postgres: Server;
  stop(): Promise<void>;
}

export async function startPooledPostgres(options: PostgresOptions = {}): Promise<PooledPostgres> {
  await using parts = new AsyncDisposableStack();
  const peers = parts.use(await createPeerNetwork("postgres"));
  const postgres = parts.use(
    await startServer(await postgresRecipe(options, { network: peers, name: "behind" })),
  );
  const [port = 0] = await freePorts(1);
  const pooler = parts.use(
    await startServer({
      kind: "pgbouncer",
      command: ["pgbouncer", "/etc/pgbouncer/pgbouncer.ini"],
      files: {
        "/etc/pgbouncer/pgbouncer.ini": configuration,
        "/etc/pgbouncer/userlist.txt": `"postgres" "${postgresPassword}"\n`,
      },
      listens: 6432,
      port,
      peers: { network: peers, name: "pooler" },
      url: postgresUrl(port, "session"),
      answers: postgresAnswers,
    }),
  );
  const kept = parts.move();
  return {
    transactionUrl: postgresUrl(port, "transaction"),
    statementUrl: postgresUrl(port, "statement"),
    sessionUrl: postgresUrl(port, "session"),
    pooler,
    postgres,
    stop: async () => kept.disposeAsync(),
    [Symbol.asyncDispose]: async () => kept.disposeAsync(),
  };
}

// The `postgres` entry is for the question whether it is ready.
const configuration = `[databases]
transaction = host=behind port=5432 dbname=postgres pool_mode=transaction
statement = host=behind port=5432 dbname=postgres pool_mode=statement
session = host=behind port=5432 dbname=postgres pool_mode=session
postgres = host=behind port=5432 dbname=postgres pool_mode=session

[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/userlist.txt
max_client_conn = 500
default_pool_size = 20
ignore_startup_parameters = extra_float_digits,options
`;
