-- Takes a charge back: the request was admitted, and then refused by somebody else.
--
-- KEYS[1]  rate_limit:{tenant}:tasks, KEYS[2] rate_limit:{tenant}:reserved, KEYS[3] usage:{tenant}
-- KEYS[4]… beginnings of the names of the windows; then usage:tier:{tier}, unless it lies in another slot
-- ARGV[1]  task, empty for none, ARGV[2] when it was charged, ARGV[3] field of the usage
-- ARGV[4]  number of windows; then for each: its length in seconds, what was charged

local at = tonumber(ARGV[2])
if ARGV[1] ~= '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
end
local number = tonumber(ARGV[4])
for i = 1, number do
  local unit = tonumber(ARGV[3 + i * 2])
  local key = KEYS[3 + i] .. ':' .. part(unit, at)
  local used = redis.call('GET', key)
  if used then
    redis.call('DECRBY', key, math.min(tonumber(ARGV[4 + i * 2]), tonumber(used)))
  end
end
local today = part(86400, at)
local function uncount(key, field)
  if redis.call('HEXISTS', key, field) == 1 then
    redis.call('HINCRBY', key, field, -1)
  end
end
uncount(KEYS[3] .. ':' .. today, 'total_requests')
uncount(KEYS[3] .. ':' .. today, ARGV[3])
if KEYS[4 + number] then
  uncount(KEYS[4 + number] .. ':' .. today, 'total_requests')
end
return 1
