-- Counts one request of a tier under the given name, which ends in the date.
local function count_of_tier(key)
  if redis.call('HINCRBY', key, 'total_requests', 1) == 1 then
    redis.call('EXPIRE', key, 30 * 86400)
  end
end

