-- Takes a lease for a connection, if its tenant and its user may have one more.
--
-- KEYS[1] connections of the tenant, KEYS[2] those of the user, where there is one
-- ARGV[1] connection, ARGV[2] ms of the lease, ARGV[3] most of the tenant, ARGV[4] most of the user
--
-- Returns 0, or the number of the key whose limit is reached. Invariant: who is refused holds nothing.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for number, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if redis.call('ZCARD', key) >= tonumber(ARGV[2 + number]) then
    return number
  end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + tonumber(ARGV[2]), ARGV[1])
  redis.call('PEXPIRE', key, ARGV[2])
end
return 0
