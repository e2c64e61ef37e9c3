#!lua
-- submit: puts actions into their queues.
--
-- KEYS[1]  tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), then 7 values an action:
--          id, rest of the body (header without times, payload), time it may wait (ms, 0 = for ever), time it may take from
--          now (ms, 0 = its budget), how long a repetition is recognised after its end (ms, 0 = while it lives),
--          type (of a root action; else empty), session
-- Reply    now in microseconds, then {1 = new | 0 = known, position} an action
-- Holds    An action is stored at most once by id, whole or not at all. Without `allow-oom`: a full server refuses before
--          the first write. The body is written before the id that leads to it.

local now, us = clock(ARGV[1])
local kept = tonumber(ARGV[2])
local reply = {us}

local function submit(id, rest, wait, within, dedup, kind, session)
  if kind ~= '' then
    local position = redis.call('HGET', T .. 't:' .. id, 'position')
    if position then return {0, tonumber(position)} end
  end
  if redis.call('EXISTS', T .. 'b:' .. id) == 1 then return {0, 0} end
  if dedup > 0 and redis.call('EXISTS', T .. 'dd:' .. id) == 1 then return {0, 0} end
  local body = table.concat({int(us), wait > 0 and int(now + wait) or '0', within > 0 and int(now + within) or '0', rest}, US)
  local entry = parse(body)
  if not entry then return redis.error_reply('ERR malformed entry') end
  redis.call('SET', T .. 'b:' .. id, body)
  local position = push(entry, id, false)
  if dedup > 0 then redis.call('SET', T .. 'dd:' .. id, '1', 'PX', dedup) end
  if kind ~= '' then
    redis.call('HSET', T .. 't:' .. id, 'type', kind, 'tenant', entry.tenant, 'tier', entry.tier, 'session', session,
      'context', entry.middle, 'queue', queue_name(entry.middle, entry.lane), 'position', position, 'status', 'pending',
      'attempts', 0, 'created_at', int(now), 'events', event('queued', 0))
    local index = T .. 'ti:' .. entry.tenant
    redis.call('ZADD', index, now, id)
    redis.call('ZREMRANGEBYSCORE', index, '-inf', now - 2 * kept)
    redis.call('PEXPIRE', index, 2 * kept)
  end
  return {1, position}
end

for i = 3, #ARGV, 7 do
  reply[#reply + 1] = submit(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]),
    ARGV[i + 5], ARGV[i + 6])
end
close()
return reply
