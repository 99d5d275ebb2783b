/**
 * Who cleans up (S6). A session that ends clears away after itself; whoever opens a session clears away after those that could
 * not. First the session is declared dead, for good; then, in a later statement that sees every claim it ever made, its
 * places in queues and its records go; at last its row, when nothing names it any more.
 */

import type { Row, Value } from "./driver.ts";
import { stateOf } from "./errors.ts";
import type { Sql } from "./sql.ts";

export type Run = (text: string, values: readonly Value[]) => Promise<readonly Row[]>;

/** Ends a session on its owner's word, and clears away after it as far as that goes. */
export async function endSession(run: Run, sql: Sql, id: string): Promise<void> {
  const free = await run(sql.endSession, [id]);
  try {
    await clearAway(run, sql, [id], namesIn(free.filter(({ woken }) => woken !== null)));
  } catch {
    // It is over, and that is what was asked for; the next session that opens clears away the rest.
  }
}

/** Clears away after sessions that ended without a word and that nobody missed: a few statements, however many. */
export async function sweep(run: Run, sql: Sql): Promise<void> {
  try {
    const remains = await run(sql.remains, []);
    const dead = remains.flatMap(({ id }) => (typeof id === "string" ? [id] : []));
    if (dead.length > 0) await clearAway(run, sql, dead, []);
  } catch (error) {
    // Somebody is in the way, and another time will do. An error of the connection is another matter.
    if (stateOf(error) === null) throw error;
  }
}

/** Clears away what dead sessions left; of one that is not dead, nothing. For `woken` somebody has been woken. */
async function clearAway(
  run: Run,
  sql: Sql,
  dead: readonly string[],
  woken: readonly string[],
): Promise<void> {
  const taken = new Set(woken);
  const names = namesIn(await run(sql.clear, [dead])).filter((name) => !taken.has(name));
  await lookAgain(run, sql, [], names);
  await run(sql.forget, [dead]);
}

/**
 * Wakes those whom the statement before could not see: who joined for a `free` election meanwhile; and who comes next where one that
 * has `left` the queue was still seen in it, and woken, by a burial that was under way.
 */
export async function lookAgain(
  run: Run,
  sql: Sql,
  free: readonly string[],
  left: readonly string[],
): Promise<void> {
  if (left.length > 0) await run(sql.untilBuried, []);
  if (free.length + left.length > 0) await run(sql.settle, [[...free, ...left]]);
}

export function namesIn(rows: readonly Row[]): string[] {
  return rows.flatMap(({ name }) => (typeof name === "string" ? [name] : []));
}
