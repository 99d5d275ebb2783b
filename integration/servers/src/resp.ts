// Single questions to a Redis server while a topology is put together; tests use a driver.
import { setTimeout as sleep } from "node:timers/promises";
import { ask } from "./answers.ts";

/** Sends a command and returns the raw reply. */
export async function command(port: number, line: string): Promise<string> {
  // QUIT makes the server close the connection behind the reply, whatever the shape of that reply.
  const reply = await ask(port, `${line}\r\nQUIT\r\n`, /$^/);
  if (reply.startsWith("-")) throw new Error(`${line}: ${reply}`);
  return reply;
}

/** Asks again until the reply is the right one. */
export async function untilReplied(
  port: number,
  line: string,
  right: (reply: string) => boolean,
): Promise<void> {
  const until = performance.now() + 30_000;
  let reply = await command(port, line);
  while (!right(reply)) {
    if (performance.now() > until) throw new Error(`${line} on port ${port} still replies: ${reply}`);
    await sleep(50);
    reply = await command(port, line);
  }
}
