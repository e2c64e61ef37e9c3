-- Renews the lease of who runs a request. KEYS[1] the request; ARGV[1] who runs it, ARGV[2] lease in milliseconds.
-- Returns 1, or 0 when somebody else does.

if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', KEYS[1], 'until', string.format('%d', now + tonumber(ARGV[2])))
return 1
