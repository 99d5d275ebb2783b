/**
 * Effects that only the present leader can have, on data in the same Redis: one step on the server compares the
 * election's token and the life of its session, and writes. Nothing between the check and the write, so no pause
 * and no late packet of a former leader can get through.
 *
 * The data must be in the slot of the namespace: put its name in braces into the key, `{default}:report`.
 */

/** Your own client: anything with the `eval` of `ioredis`. */
export interface GuardClient {
  eval(script: string, keys: number, ...args: (string | number)[]): Promise<unknown>;
}

/** Whose effect it is: a term's `token` with its election's `name`. */
export interface Leadership {
  readonly election: string;
  readonly token: bigint;
  /** @default "default" */
  readonly namespace?: string;
}

export interface GuardedScript {
  /** Lua, as for `EVAL`. */
  readonly script: string;
  readonly keys: readonly string[];
  readonly args?: readonly (string | number)[];
}

export type Guarded =
  | { readonly applied: true; readonly value: unknown }
  /** Another term has begun, or this one is over: nothing was done. Stop working. */
  | { readonly applied: false };

/** Runs a script if the term is still the election's. */
export async function guardedEval(
  client: GuardClient,
  leadership: Leadership,
  effect: GuardedScript,
): Promise<Guarded> {
  const { election, token, namespace = "default" } = leadership;
  const { script, keys, args = [] } = effect;
  const reply = await client.eval(
    `${check}local function effect(KEYS, ARGV) ${script}\nend\nreturn {1, effect(keys, args)}`,
    keys.length + 1,
    `elect:{${namespace}}`,
    ...keys,
    election,
    token.toString(),
    ...args,
  );
  const [applied, value] = Array.isArray(reply) ? (reply as unknown[]) : [];
  return applied === 1 ? { applied: true, value: value ?? null } : { applied: false };
}

/** Sets a key if the term is still the election's; `false` when it is not. */
export async function guardedSet(
  client: GuardClient,
  leadership: Leadership,
  key: string,
  value: string,
): Promise<boolean> {
  const script = "redis.call('SET', KEYS[1], ARGV[1]) return 1";
  const { applied } = await guardedEval(client, leadership, { script, keys: [key], args: [value] });
  return applied;
}

/** In the format that scripts.ts writes. */
const check = /* lua */ `
local record = redis.call('HGET', KEYS[1], 'r:' .. ARGV[1])
local session, token = string.match(record or '', '^(%x+) %x+ (%d+) ')
if token ~= ARGV[2] or redis.call('EXISTS', KEYS[1] .. ':s:' .. session) == 0 then return {0} end
local keys, args = {}, {}
for i = 2, #KEYS do keys[i - 1] = KEYS[i] end
for i = 3, #ARGV do args[i - 2] = ARGV[i] end
`;
