import { redisAnswers } from "./answers.ts";
import { urlFromEnvironment } from "./engine.ts";
import { freePorts } from "./ports.ts";
import { ForeignServer, type Server } from "./server.ts";
import { startServer } from "./start.ts";

export type RedisKind = "redis" | "valkey";

export interface RedisOptions {
  /** When its log of writes reaches the disk; without a log a restarted server has forgotten everything. @default "no" */
  readonly appendonly?: "no" | "everysec" | "always";
  /** More of the server's own arguments, such as `["--maxmemory", "10mb"]`. */
  readonly args?: readonly string[];
}

export async function startRedis(options: RedisOptions = {}): Promise<Server> {
  return startSingle("redis", options);
}

export async function startValkey(options: RedisOptions = {}): Promise<Server> {
  return startSingle("valkey", options);
}

async function startSingle(kind: RedisKind, options: RedisOptions): Promise<Server> {
  const given = urlFromEnvironment(kind);
  if (given !== undefined) return new ForeignServer(kind, given);
  const [port = 0] = await freePorts(1);
  return startServer({
    kind,
    command: redisCommand(kind, options),
    listens: 6379,
    port,
    url: `redis://127.0.0.1:${port}`,
    answers: redisAnswers,
  });
}

export function redisCommand(kind: RedisKind, { appendonly = "no", args = [] }: RedisOptions = {}): string[] {
  const log = appendonly === "no" ? ["no"] : ["yes", "--appendfsync", appendonly];
  return [`${kind}-server`, "--protected-mode", "no", "--save", "", "--appendonly", ...log, ...args];
}
