#!lua flags=allow-oom
-- sweep: hands out outcomes that the process which settled them has not handed over in time.
--
-- KEYS[1]  tag of the partition
-- ARGV     now (0 = the server's clock), age (ms), most entries
-- Reply    id and outcome of each
-- Holds    An entry that was handed out is not handed out again before it has aged anew; it stays until `relayed`.

local T = KEYS[1]
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local ids = redis.call('ZRANGEBYSCORE', T .. 'o', '-inf', now - tonumber(ARGV[2]), 'LIMIT', 0, tonumber(ARGV[3]))
local reply = {}
for _, id in ipairs(ids) do
  local outcome = redis.call('HGET', T .. 'ob', id)
  if outcome then
    redis.call('ZADD', T .. 'o', now, id)
    reply[#reply + 1] = id
    reply[#reply + 1] = outcome
  else
    redis.call('ZREM', T .. 'o', id)
  end
end
return reply
