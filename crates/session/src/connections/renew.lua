-- Renews the leases that a process holds of one tenant; those that the server lost are there again.
--
-- KEYS connections of the tenant, then of its users
-- ARGV[1] ms of the lease, then for each lease the number of a key and the connection
--
-- Returns how many connections the tenant has.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ends = now + tonumber(ARGV[1])
for at = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[tonumber(ARGV[at])], ends, ARGV[at + 1])
end
for _, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('PEXPIRE', key, ARGV[1])
end
return redis.call('ZCARD', KEYS[1])
