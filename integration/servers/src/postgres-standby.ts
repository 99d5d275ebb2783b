// A primary and a hot standby that follows its log as a stream.
import { createPeerNetwork, type PeerNetwork } from "./peer-network.ts";
import { postgresCommand, postgresPassword, postgresRecipe, type PostgresOptions } from "./postgres.ts";
import type { Server } from "./server.ts";
import { startServer } from "./start.ts";

export interface StandbyOptions extends PostgresOptions {
  /** Whether a commit waits for the standby. @default false */
  readonly synchronous?: boolean;
}

export interface PostgresPair extends AsyncDisposable {
  readonly primary: Server;
  readonly standby: Server;
  readonly peers: PeerNetwork;
  /** Makes the standby a primary, on a timeline of its own; resolves when it takes writes. Stops no old primary. */
  promote(): Promise<void>;
  stop(): Promise<void>;
}

export async function startPostgresPair(options: StandbyOptions = {}): Promise<PostgresPair> {
  await using parts = new AsyncDisposableStack();
  const peers = parts.use(await createPeerNetwork("postgres"));
  const settings = {
    ...options.settings,
    ...(options.synchronous === true && { synchronous_standby_names: "*" }),
  };
  const primary = parts.use(
    await startServer(await postgresRecipe({ ...options, settings }, { network: peers, name: "primary" })),
  );
  const recipe = await postgresRecipe({ ...options, settings }, { network: peers, name: "standby" });
  const standby = parts.use(
    await startServer({
      ...recipe,
      command: [
        "bash",
        "-c",
        copyThenFollow,
        "copy-then-follow",
        ...postgresCommand({ ...options, settings }),
      ],
      environment: { ...recipe.environment, PGPASSWORD: postgresPassword },
    }),
  );
  // It answers before it follows.
  await primary.exec("bash", "-c", untilFollowed);
  const kept = parts.move();
  return {
    primary,
    standby,
    peers,
    async promote() {
      await standby.exec("bash", "-c", 'gosu postgres pg_ctl promote --wait --pgdata="$PGDATA"');
    },
    stop: async () => kept.disposeAsync(),
    [Symbol.asyncDispose]: async () => kept.disposeAsync(),
  };
}

const untilFollowed = `
for try in $(seq 600); do
  gosu postgres psql -Atc "select 'followed' from pg_stat_replication where state = 'streaming'" | grep -q followed && exit 0
  sleep 0.1
done
echo "nobody follows"; exit 1
`;

// A restarted standby has its copy already. `exec` in the end, so that signals reach the server itself.
const copyThenFollow = `
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  install -d -o postgres -g postgres -m 700 "$PGDATA"
  gosu postgres pg_basebackup --host=primary --username=postgres --pgdata="$PGDATA" \\
    --wal-method=stream --checkpoint=fast --no-sync --write-recovery-conf
fi
exec docker-entrypoint.sh "$@"
`;
