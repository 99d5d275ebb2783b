/**
 * What the server does, in one step each, and all that is stored. `<ns>` is `elect:{namespace}`: the braces put
 * every key of a namespace into one slot of a Cluster.
 *
 * | key | what |
 * | --- | --- |
 * | `<ns>` | hash of records: `r:<election>` → `<session> <nonce> <token> <candidate>`, and the header fields below |
 * | `<ns>:s:<session>` | hash with PX, the session itself: `generation`, `ttl`, `h:<nonce>` → election it holds, `w:<nonce>` → `[election, candidate]` it waits for |
 * | `<ns>:q:<election>` | sorted set of those who wait, `<session> <nonce>` by arrival; expires when nobody asks any more |
 *
 * A record counts only while the key of its session exists (S1: Redis deletes an expired key once and for all, and
 * no proof creates one). Dead waiters are dropped by whoever comes across them, dead records by the next claim or by
 * the slow sweep that rides on every proof; both see in the same step that the session is gone (S6).
 *
 * | header | what |
 * | --- | --- |
 * | `format` | of all this; another one is refused |
 * | `server` | run id and replication id of the process that this hash was last used on |
 * | `log` | `always` if that process was seen to write what it acknowledges to its disk first, else `-` |
 * | `since` | µs; from when on that process remembers everything (0: it always did) |
 * | `maxTtl` | ms; the longest TTL that anybody declared |
 * | `incarnation` | random; a new one says: look whether your records are still there (S5) |
 * | `count` | of records, to notice that somebody else deleted one |
 * | `token` | the last one given; survives releases |
 *
 * Numbers are Lua doubles, exact below 2^53; they leave Lua by `%.0f` only, as `tostring` rounds to 14 digits.
 */

import { header, script, type Script } from "./lua.ts";

/** `ARGV` session, maxTtl, durable, ttl → incarnation, the server's time, ms until claims are granted, longest TTL declared */
export const open: Script = script(
  header,
  /* lua */ `
local at = now()
local incarnation, wait, longest = survey(at, ARGV[1], ARGV[2], ARGV[3])
if not incarnation then return redis.error_reply(wait) end
redis.call('HSET', KEYS[2], 'generation', '0', 'ttl', ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {incarnation, digits(at), digits(wait), digits(longest)}
`,
);

/**
 * `ARGV` session, maxTtl, durable, ttl, proof's number, sweep's cursor ("" for none), then claims to look at
 * → "dead" or incarnation, the server's time, next cursor, the lost ones
 */
export const prove: Script = script(
  header,
  /* lua */ `
local at = now()
if redis.call('PEXPIRE', KEYS[2], ARGV[4]) == 0 then return {'dead', digits(at)} end
redis.call('PUBLISH', records .. ':w:' .. ARGV[1], ARGV[5])
local incarnation, problem = survey(at, ARGV[1], ARGV[2], ARGV[3])
if not incarnation then return redis.error_reply(problem) end

local cursor = ARGV[6]
if cursor ~= '' then
  local scan = redis.call('HSCAN', records, cursor, 'MATCH', 'r:*', 'COUNT', 16)
  cursor = scan[1]
  for i = 1, #scan[2], 2 do
    local session = string.match(scan[2][i + 1], '^(%x+) ')
    if not session or not exists(sessionKey(session)) then
      local election = string.sub(scan[2][i], 3)
      remove(election)
      wake(election)
    end
  end
  finish()
end
return {incarnation, digits(at), cursor, unpack(missing(7))}
`,
);

/** `ARGV` session, then all claims held → nonces lost, and what the session holds as far as the server knows: nonce, election, … */
export const audit: Script = script(
  header,
  /* lua */ `
local lost, held = missing(2), {}
local fields = redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 2) == 'h:' then
    table.insert(held, string.sub(fields[i], 3))
    table.insert(held, fields[i + 1])
  end
end
return {lost, held}
`,
);

/**
 * `ARGV` session, maxTtl, durable, generation, "ask" when the slot is just moving here, then election, nonce,
 * candidate for each → an answer for each, or "dead" or "stale"
 */
export const claim: Script = script(
  header,
  /* lua */ `
local mine, session, generation = KEYS[2], ARGV[1], tonumber(ARGV[4])
local known = tonumber(redis.call('HGET', mine, 'generation') or -1)
if known < 0 then return 'dead' end
if generation < known then return 'stale' end
if generation > known then redis.call('HSET', mine, 'generation', ARGV[4]) end

local at = now()
local incarnation, wait, longest = survey(at, session, ARGV[2], ARGV[3])
if not incarnation then return redis.error_reply(wait) end
-- The other keys of the slot may not have arrived here yet: no session is dead for missing, and no queue is begun anew.
local arriving = ARGV[5] == 'ask'
if arriving and wait < 1000 then wait = 1000 end

local last = tonumber(redis.call('HGET', records, 'token') or 0)
local token, added, answers = last, 0, {}
for i = 6, #ARGV, 3 do
  local election, nonce, candidate = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local by, its, theirs, who = holder(election)
  local left = by and redis.call('PTTL', sessionKey(by)) or -2
  if left ~= -2 then
    -- More left than was ever granted: the server's clock was set back. The holder's own clock was not.
    local ttl = tonumber(redis.call('HGET', sessionKey(by), 'ttl') or longest)
    if left > ttl or left == -1 then
      left = ttl
      redis.call('PEXPIRE', sessionKey(by), left)
    end
  end

  if by == session and its == nonce then
    table.insert(answers, {'granted', theirs})
  elseif left ~= -2 or wait > 0 then
    if not arriving then
      local queue = queueKey(election)
      local joined = redis.call('ZADD', queue, 'NX', digits(at + i), session .. ' ' .. nonce)
      if joined == 1 or redis.call('HEXISTS', mine, 'w:' .. nonce) == 0 then
        redis.call('HSET', mine, 'w:' .. nonce, cjson.encode({election, candidate}))
      end
      redis.call('PEXPIRE', queue, longest * 3)
    end
    if left ~= -2 then table.insert(answers, {'held', left + 1, theirs, who})
    else table.insert(answers, {'held', wait}) end
  else
    if by then redis.call('DEL', sessionKey(by)) end
    token = math.max(token + 1, at)
    added = added + redis.call('HSET', records, 'r:' .. election,
      session .. ' ' .. nonce .. ' ' .. digits(token) .. ' ' .. candidate)
    redis.call('HSET', mine, 'h:' .. nonce, election)
    if redis.call('HDEL', mine, 'w:' .. nonce) == 1 then redis.call('ZREM', queueKey(election), session .. ' ' .. nonce) end
    changed(election)
    table.insert(answers, {'granted', digits(token)})
  end
end
if token > last then redis.call('HSET', records, 'token', digits(token)) end
if added > 0 then redis.call('HINCRBY', records, 'count', added) end
return answers
`,
);

/** `ARGV` session, generation to raise to ("" for none), then nonce, election for each */
export const release: Script = script(/* lua */ `
local session = ARGV[1]
if ARGV[2] ~= '' then
  local known = redis.call('HGET', KEYS[2], 'generation')
  if known and tonumber(known) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[2], 'generation', ARGV[2]) end
end
for i = 3, #ARGV, 2 do
  redis.call('HDEL', KEYS[2], 'h:' .. ARGV[i], 'w:' .. ARGV[i])
  letGo(session, ARGV[i], ARGV[i + 1])
end
finish()
return 1
`);

/** `ARGV` session. What is still held by a session that is dead already is not touched. */
export const end: Script = script(/* lua */ `
local session = ARGV[1]
local fields = redis.call('HGETALL', KEYS[2])
redis.call('DEL', KEYS[2])
for i = 1, #fields, 2 do
  local kind, nonce = string.match(fields[i], '^([hw]):(%x+)$')
  if kind == 'h' then letGo(session, nonce, fields[i + 1])
  elseif kind == 'w' then letGo(session, nonce, cjson.decode(fields[i + 1])[1]) end
end
finish()
return 1
`);

/** `ARGV` election → token, candidate, or nothing */
export const read: Script = script(/* lua */ `
local session, _, token, candidate = holder(ARGV[1])
if not session or not exists(sessionKey(session)) then return false end
return {token, candidate}
`);

/** `ARGV` election → the candidates, the leader first */
export const candidates: Script = script(/* lua */ `
local found = {}
local session, _, _, candidate = holder(ARGV[1])
if session and exists(sessionKey(session)) then table.insert(found, candidate) end
for _, member in ipairs(redis.call('ZRANGE', queueKey(ARGV[1]), 0, -1)) do
  local session, nonce = string.match(member, '^(%x+) (%x+)$')
  local waiting = session and redis.call('HGET', sessionKey(session), 'w:' .. nonce)
  if waiting then table.insert(found, cjson.decode(waiting)[2]) end
end
return found
`);
