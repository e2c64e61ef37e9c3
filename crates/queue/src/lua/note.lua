#!lua flags=allow-oom
-- note: adds to the timeline of a task.
--
-- KEYS[1]  tag of the partition
-- ARGV     now in microseconds (0 = the server's clock), task, tenant, event, domain, attempt, stage (empty = unchanged), token (empty = from
--          outside; else the lease that must be held)
-- Reply    1, or 0 when there is no such task of the tenant or the lease is not held
-- Holds    Another tenant's task, or one of a later attempt, is not changed.

local T = KEYS[1]
local key = T .. 't:' .. ARGV[2]
local known = redis.call('HMGET', key, 'tenant', 'events')
if known[1] ~= ARGV[3] then return 0 end
if ARGV[8] ~= '' and not redis.call('ZSCORE', T .. 'lease', ARGV[2] .. ':' .. ARGV[8]) then return 0 end
-- From outside an event is noted once, and only while the timeline is of a reasonable size: whoever shows a result again and
-- again must not make it grow.
if ARGV[8] == '' then
  local noted = string.find('\30' .. known[2], '\30' .. ARGV[4] .. '\31', 1, true)
  if noted or #known[2] > 65536 then return 0 end
end
local now = ARGV[1]
if tonumber(now) == 0 then
  local time = redis.call('TIME')
  now = string.format('%.0f', tonumber(time[1]) * 1000000 + tonumber(time[2]))
end
local events = known[2] .. table.concat({ARGV[4], now, ARGV[5], ARGV[6]}, '\31') .. '\30'
if ARGV[7] ~= '' then
  redis.call('HSET', key, 'events', events, 'stage', ARGV[7])
else
  redis.call('HSET', key, 'events', events)
end
return 1
