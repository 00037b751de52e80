"""The Lua scripts of the streams and the seats. A stream's touch the keys of one group only, for Redis Cluster.

``RUN`` stands for the ``run_id`` of the Redis server the script was loaded into. A restarted server has an empty
script cache and another ``run_id``: no publisher can write with an old script, and the first message after a
restart starts a new epoch in the same atomic step. So a history that may have lost its tail is never continued.
"""

from __future__ import annotations

from typing import Final

_ENSURE_EPOCH: Final = """
local function ensure_epoch(meta, log, fresh)
  local state = redis.call('HMGET', meta, 'e', 'r')
  if state[1] and (TRUST or state[2] == RUN) then return state[1] end
  redis.call('DEL', meta, log)
  redis.call('HSET', meta, 'e', fresh, 'o', 0, 'r', RUN)
  return fresh
end
"""

_PUBLISH: Final = """
local dedupe = KEYS[3]
if dedupe then
  local seen = redis.call('GET', dedupe)
  if seen then return {0, seen, 0} end
end
local epoch = ensure_epoch(KEYS[1], KEYS[2], ARGV[6])
local offset = redis.call('HINCRBY', KEYS[1], 'o', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], offset .. '-0', 'm', ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
local receivers = redis.call('PUBLISH', ARGV[2], '\\1' .. epoch .. ' ' .. offset .. ' ' .. ARGV[1])
if dedupe then redis.call('SET', dedupe, offset .. ' ' .. epoch .. ' ' .. receivers, 'EX', ARGV[7]) end
return {offset, epoch, receivers}
"""

_READ: Final = """
local epoch = ensure_epoch(KEYS[1], KEYS[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
local top = tonumber(redis.call('HGET', KEYS[1], 'o'))
local after = tonumber(ARGV[2])
if ARGV[1] == '' then return {1, epoch, top} end
if epoch ~= ARGV[1] or after > top then return {0, epoch, top} end
if after == top then return {1, epoch, top} end
local entries = redis.call('XRANGE', KEYS[2], '(' .. after .. '-0', '+')
if #entries ~= top - after or entries[1][1] ~= (after + 1) .. '-0' then return {0, epoch, top} end
local texts = {}
local size = 0
for i, entry in ipairs(entries) do
  texts[i] = entry[2][2]
  size = size + #texts[i]
end
if size > tonumber(ARGV[5]) then return {0, epoch, top} end
return {1, epoch, top, texts}
"""

# KEYS: nodes. ARGV: prefix of seat keys, node, limit, replace or reject, ttl, then operation, user, client …
# Returns, per operation, '' when done, '-' when there is no seat, or the client whose seat was taken over.
SEATS: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local limit = tonumber(ARGV[3])
local function free_the_dead(key)
  for _, seat in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    local lease = redis.call('ZSCORE', KEYS[1], string.sub(seat, string.find(seat, ' ', 1, true) + 1))
    if not lease or tonumber(lease) < now then redis.call('ZREM', key, seat) end
  end
end
local reply = {}
for i = 6, #ARGV, 3 do
  local operation, key, seat = ARGV[i], ARGV[1] .. ARGV[i + 1], ARGV[i + 2] .. ' ' .. ARGV[2]
  local answer = ''
  if operation == '-' then
    redis.call('ZREM', key, seat)
  else
    if operation == '+' and redis.call('ZCARD', key) >= limit then
      free_the_dead(key)
      if redis.call('ZCARD', key) >= limit then
        answer = '-'
        if ARGV[4] == 'replace' then
          local oldest = redis.call('ZPOPMIN', key)[1]
          answer = string.sub(oldest, 1, string.find(oldest, ' ', 1, true) - 1)
        end
      end
    end
    if answer ~= '-' then
      redis.call('ZADD', key, now + i - #ARGV, seat)
      redis.call('EXPIRE', key, ARGV[5])
    end
  end
  reply[#reply + 1] = answer
end
return reply
"""


def publish_script(run_id: str, *, trust: bool) -> str:
    """Append to the history, assign the offset, publish.

    KEYS: meta, log[, seen]. ARGV: sent_ms + space + text, channel, history size, history ttl, position ttl, fresh
    epoch, idempotency window. Returns {offset, epoch, receivers}, or {0, "offset epoch receivers", 0}, as it was the
    first time, for a repeated id.
    """
    return _header(run_id, trust) + _ENSURE_EPOCH + _PUBLISH


def read_script(run_id: str, *, trust: bool) -> str:
    """Read a stream's position and what came after an earlier one.

    KEYS: meta, log. ARGV: epoch ('' for the position alone), offset, fresh epoch, position ttl, largest reply in
    bytes. Returns {recovered, epoch, top offset[, texts]}.
    """
    return _header(run_id, trust) + _ENSURE_EPOCH + _READ


def _header(run_id: str, trust: bool) -> str:
    return f"local RUN = '{run_id}'\nlocal TRUST = {'true' if trust else 'false'}\n"
