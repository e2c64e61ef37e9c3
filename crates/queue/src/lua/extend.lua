#!lua flags=allow-oom
-- extend: keeps the leases of a living process, and tells what it should stop.
--
-- KEYS[1]  tag of the partition
-- ARGV     now (0 = the server's clock), lease (ms), then id and token of each lease
-- Reply    for each: empty = extended, 'lost' = not held any more, 'cancelled' and the reason behind a space
-- Holds    A lease that is not there is never made again, and none becomes shorter.

local T = KEYS[1]
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local until_then = now + tonumber(ARGV[2])
local any_cancelled = redis.call('EXISTS', T .. 'cx') == 1

local reply = {}
for i = 3, #ARGV, 2 do
  local member = ARGV[i] .. ':' .. ARGV[i + 1]
  if not redis.call('ZSCORE', T .. 'lease', member) then
    reply[#reply + 1] = 'lost'
  else
    redis.call('ZADD', T .. 'lease', 'XX', 'GT', until_then, member)
    local reason = any_cancelled and redis.call('HGET', T .. 'cx', ARGV[i])
    reply[#reply + 1] = reason and ('cancelled ' .. reason) or ''
  end
end
return reply
