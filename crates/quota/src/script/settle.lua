-- Ends a task: it goes on no more, and the windows of tokens are charged what it really took, once.
--
-- KEYS[1]  rate_limit:{tenant}:tasks, KEYS[2] rate_limit:{tenant}:reserved, KEYS[3] usage:{tenant}
-- KEYS[4]  rate_limit:{tenant}:settled:{task}; then the windows of tokens
-- ARGV[1]  task, ARGV[2] tokens that it took, ARGV[3] 1 if its tier reserves nothing, ARGV[4] now or 0
-- ARGV[5]  1 if the windows are charged what was reserved at least, for a task that broke off at nobody knows what cost
-- ARGV[6]… the lengths of the windows of tokens, in seconds
--
-- Returns 1 if this was the first time, otherwise 0. What a task took counts in the windows in which it was admitted.

local reserved = redis.call('HGET', KEYS[2], ARGV[1])
local used = tonumber(ARGV[2])
local at
if reserved then
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[1], ARGV[1])
  local stamp, charged = string.match(reserved, '^(%d+)(.*)$')
  at = tonumber(stamp)
  local i = 6
  for amount in string.gmatch(charged, ':(%d+)') do
    local unit = tonumber(ARGV[i])
    if unit then
      local key = KEYS[i - 1] .. ':' .. part(unit, at)
      local window = redis.call('GET', key)
      local difference = used - tonumber(amount)
      if window and (difference > 0 or ARGV[5] ~= '1') then
        redis.call('INCRBY', key, math.max(difference, -tonumber(window)))
      end
    end
    i = i + 1
  end
  -- Whoever submits it again, not knowing that it ran, is charged nothing.
  redis.call('SET', KEYS[4], '1', 'EX', 86400)
elseif ARGV[3] == '1' and redis.call('SET', KEYS[4], '1', 'NX', 'EX', 86400) then
  at = tonumber(ARGV[4])
  if at == 0 then
    at = tonumber(redis.call('TIME')[1]) * 1000
  end
else
  return 0
end
if used > 0 then
  count(KEYS[3] .. ':' .. part(86400, at), 'total_tokens', used, 7)
end
return 1
