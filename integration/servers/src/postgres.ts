import { postgresAnswers } from "./answers.ts";
import { urlFromEnvironment } from "./engine.ts";
import type { PeerNetwork } from "./peer-network.ts";
import { freePorts } from "./ports.ts";
import { ForeignServer, type Server } from "./server.ts";
import { startServer, type Recipe } from "./start.ts";

export interface PostgresOptions {
  /** Whether commits reach the disk. A killed server loses nothing either way; a machine without power would. @default false */
  readonly durable?: boolean;
  /** More settings of the server, such as `{ max_connections: 20 }`. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

export async function startPostgres(options: PostgresOptions = {}): Promise<Server> {
  const given = urlFromEnvironment("postgres");
  if (given !== undefined) return new ForeignServer("postgres", given);
  return startServer(await postgresRecipe(options));
}

// The images' own rules know of no standby.
const accessRules = "/etc/elect/pg_hba.conf";
const accessRulesText = `local all all trust
host all all all scram-sha-256
host replication all all scram-sha-256
`;

/** One password for all: a word that stands out, so that tests can look for it where it must not be. */
export const postgresPassword = "elect-test-password";

export function postgresUrl(port: number, database = "postgres"): string {
  return `postgres://postgres:${postgresPassword}@127.0.0.1:${port}/${database}`;
}

export async function postgresRecipe(
  options: PostgresOptions,
  peers?: { network: PeerNetwork; name: string },
): Promise<Recipe> {
  const [port = 0] = await freePorts(1);
  return {
    kind: "postgres",
    command: postgresCommand(options),
    environment: { POSTGRES_PASSWORD: postgresPassword, POSTGRES_INITDB_ARGS: "--no-sync" },
    files: { [accessRules]: accessRulesText },
    listens: 5432,
    port,
    url: postgresUrl(port),
    answers: postgresAnswers,
    ...(peers && { peers }),
  };
}

export function postgresCommand({ durable = false, settings = {} }: PostgresOptions): string[] {
  const all = {
    hba_file: accessRules,
    max_connections: 200,
    ...(durable ? {} : { fsync: "off", full_page_writes: "off" }),
    ...settings,
  };
  return ["postgres", ...Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`])];
}
