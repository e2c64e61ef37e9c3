-- Keeps what a process reports about its connections, in place of what it reported before.
--
-- KEYS[1] processes by when their report ends, KEYS[2] reports by process
-- ARGV[1] process, ARGV[2] ms of the lease, ARGV[3] report, '' to take it away; without arguments nothing is kept
--
-- Returns all reports in force.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
elseif ARGV[3] then
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local reports = {}
for _, node in ipairs(redis.call('HKEYS', KEYS[2])) do
  if redis.call('ZSCORE', KEYS[1], node) then
    reports[#reports + 1] = redis.call('HGET', KEYS[2], node)
  else
    redis.call('HDEL', KEYS[2], node)
  end
end
return reports
