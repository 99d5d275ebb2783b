/** The Lua that the steps of scripts.ts have in common. What is stored, and where, is described there. */

import { createHash } from "node:crypto";

export interface Script {
  readonly text: string;
  readonly sha: string;
}

/** `KEYS[1]` is the hash of records, in every script. */
const prelude = /* lua */ `
local records = KEYS[1]
local function sessionKey(session) return records .. ':s:' .. session end
local function queueKey(election) return records .. ':q:' .. election end
local function exists(key) return redis.call('EXISTS', key) == 1 end
local function digits(number) return string.format('%.0f', number) end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- session, nonce, token, candidate; nothing for an election without a record
local function holder(election)
  local record = redis.call('HGET', records, 'r:' .. election)
  if record then return string.match(record, '^(%x+) (%x+) (%d+) (.*)$') end
end

local function changed(election) redis.call('PUBLISH', records .. ':e:' .. election, '') end

-- One waiter is woken for each election let go: the oldest whose session lives.
local hints = {}
local function wake(election)
  local queue = queueKey(election)
  while true do
    local first = redis.call('ZRANGE', queue, 0, 15)
    if #first == 0 then return end
    for _, member in ipairs(first) do
      local session, nonce = string.match(member, '^(%x+) (%x+)$')
      if session and redis.call('HEXISTS', sessionKey(session), 'w:' .. nonce) == 1 then
        hints[session] = hints[session] or {}
        table.insert(hints[session], election)
        return
      end
      redis.call('ZREM', queue, member)
    end
  end
end

-- One message a session, however many elections it is about. The count last: a server without memory left denies it,
-- and then every proof looks for itself.
local removed = 0
local function finish()
  for session, elections in pairs(hints) do
    redis.call('PUBLISH', records .. ':w:' .. session, cjson.encode(elections))
  end
  if removed > 0 then redis.pcall('HINCRBY', records, 'count', -removed) end
end

local function remove(election)
  removed = removed + redis.call('HDEL', records, 'r:' .. election)
  changed(election)
end

-- Deletes only what names this session and nonce. Also a waiter that leaves passes on a wake-up that it may have got.
local function letGo(session, nonce, election)
  local by, its = holder(election)
  if by == session and its == nonce then
    remove(election)
    by = nil
  end
  redis.call('ZREM', queueKey(election), session .. ' ' .. nonce)
  if not by or not exists(sessionKey(by)) then wake(election) end
end
`;

/**
 * Is this the process that the hash was last used on, and is the hash whole? Returns the incarnation and for how many
 * ms nothing may be claimed here. The rule: a server that may have forgotten who leads elects nobody until every
 * lease that it may have forgotten is over.
 */
export const header = /* lua */ `
local function survey(at, caller, declared, durable)
  local format, server, log, since, maxTtl, incarnation, count, token =
    unpack(redis.call('HMGET', records, 'format', 'server', 'log', 'since', 'maxTtl', 'incarnation', 'count', 'token'))
  local whole = format and server and log and since and maxTtl and incarnation and count and token
    and redis.call('HLEN', records) == tonumber(count) + 8
  if format and format ~= '1' then return nil, 'ELECTFORMAT the records have format ' .. format end

  local info, replication = redis.call('INFO', 'server'), redis.call('INFO', 'replication')
  local run = string.match(info, 'run_id:(%x+)') or '-'
  local here = run .. ' ' .. (string.match(replication, 'master_replid:(%x+)') or '-')
  local longest = math.max(tonumber(maxTtl or 0), tonumber(declared))
  local remembers = tonumber(since or at)
  if server ~= here then
    -- Another process: restarted, promoted, or the first one ever.
    local promoted = string.find(replication, 'master_replid2:0*[1-9a-f]')
    if durable == '*' then remembers = 0
    elseif promoted then remembers = at
    -- What it found on its disk is all that was acknowledged only if the process before it wrote all of it there: then it
    -- remembers what that one did. Nothing found says nothing: the log may be new, or the disk.
    elseif log ~= 'always' or durable ~= run then
      -- The difference of two whole seconds: it may be almost one too long.
      local uptime = tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or 0)
      remembers = at - math.max(0, uptime - 1) * 1000000
    end
  end
  if remembers > at then remembers = at end
  local writes = durable == run and 'always' or server == here and log or '-'
  if not whole or server ~= here then
    incarnation = caller .. '.' .. digits(at)
    -- A server without memory left denies this, but not what a proof needs: then the next proof looks again.
    redis.pcall('HSET', records, 'format', '1', 'server', here, 'log', writes, 'incarnation', incarnation, 'count', '0', 'token', token or '0',
      'since', digits(remembers), 'maxTtl', digits(longest))
    redis.pcall('HSET', records, 'count', digits(redis.call('HLEN', records) - 8))
  elseif longest > tonumber(maxTtl) or remembers < tonumber(since) or writes ~= log then
    redis.pcall('HSET', records, 'log', writes, 'maxTtl', digits(longest), 'since', digits(remembers))
  end
  return incarnation, math.ceil((remembers + longest * 1000 - at) / 1000), longest
end

-- The nonces, of those in ARGV from first on (nonce, election, …), whose record is not there any more.
local function missing(first)
  local gone = {}
  for i = first, #ARGV, 2 do
    local by, nonce = holder(ARGV[i + 1])
    if by ~= ARGV[1] or nonce ~= ARGV[i] then
      redis.call('HDEL', KEYS[2], 'h:' .. ARGV[i])
      table.insert(gone, ARGV[i])
    end
  end
  return gone
end
`;

/** A script of the prelude and these parts. */
export function script(...parts: readonly string[]): Script {
  const text = [prelude, ...parts].join("");
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}
