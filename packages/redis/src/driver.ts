/**
 * What we use of the driver, and how. It connects and frames commands; everything else that it offers to do is
 * switched off: it retries nothing, queues nothing, re-sends nothing, reconnects never.
 */

import { Redis } from "ioredis";
import { isUnknownScript } from "./errors.ts";
import type { Endpoint, Settings } from "./options.ts";
import type { Script } from "./lua.ts";
import { factsFrom, type ServerFacts } from "./server.ts";

/** The members of an `ioredis` client that are used. */
export interface Driver {
  readonly status: string;
  readonly stream: { destroy(): unknown; unref(): unknown } | undefined;
  call(command: string, args: (string | number)[]): Promise<unknown>;
  subscribe(...channels: string[]): Promise<unknown>;
  unsubscribe(...channels: string[]): Promise<unknown>;
  connect(): Promise<void>;
  disconnect(): void;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "close", listener: () => void): unknown;
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
}

/** A command of its own on the heels of a script, on the same connection. */
export interface Command {
  readonly command: string;
  readonly args: (string | number)[];
}

/** What a script answered, and what the command on its heels did. */
export interface Outcome {
  readonly reply: unknown;
  readonly alongside: unknown;
}

/** A client that has not begun to connect. `at` is a node of a Cluster. */
export function dial(settings: Settings, timeoutMs: number, at: Required<Endpoint> | null): Driver {
  const wait = Math.max(1, Math.ceil(timeoutMs));
  return new Redis({
    ...settings.driver,
    ...at,
    lazyConnect: true,
    retryStrategy: null,
    sentinelRetryStrategy: () => null,
    sentinelCommandTimeout: wait,
    failoverDetector: false,
    role: "master",
    readOnly: false,
    connectTimeout: wait,
    disconnectTimeout: 1,
    commandTimeout: undefined,
    socketTimeout: undefined,
    blockingTimeout: undefined,
    reconnectOnError: null,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    // Prints when INFO is not permitted, and waits in a timer while the server loads: we look for ourselves.
    enableReadyCheck: false,
    enableAutoPipelining: false,
    disableClientInfo: true,
    monitor: false,
    keyPrefix: "",
    stringNumbers: false,
    replyMapping: "legacy",
    scripts: undefined,
    himportFieldsets: undefined,
  });
}

/** At once, whatever is under way: `disconnect()` alone says goodbye and waits for an answer. */
export function destroy(driver: Driver): void {
  driver.disconnect();
  driver.stream?.destroy();
}

export function usable(driver: Driver): boolean {
  return driver.status !== "close" && driver.status !== "end";
}

export async function inspect(driver: Driver): Promise<ServerFacts> {
  const [info, config] = await Promise.all([
    driver.call("INFO", []),
    driver.call("CONFIG", ["GET", "*appendfsync*"]).catch(() => null),
  ]);
  return factsFrom(info, config);
}

/** By its hash; with its text where the server does not know it yet. Both are written at once, in order, on one connection. */
export async function evaluate(
  driver: Driver,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
  alongside?: Command,
): Promise<Outcome> {
  const rest = [keys.length, ...keys, ...args];
  const send = async (command: string, what: string): Promise<Outcome> => {
    const reply = driver.call(command, [what, ...rest]);
    if (alongside === undefined) return { reply: await reply, alongside: null };
    const other = driver.call(alongside.command, alongside.args);
    other.catch(() => {}); // The script's own error goes first.
    return { reply: await reply, alongside: await other };
  };
  try {
    return await send("EVALSHA", script.sha);
  } catch (cause) {
    if (!isUnknownScript(cause)) throw cause;
    return send("EVAL", script.text);
  }
}
