-- Counts requests that nobody had to decide about, or not in the same slot.
--
-- KEYS[1]  usage:{tenant}, to which the date is added; or the whole name, where ARGV[1] is a date
-- KEYS[2]  rate_limit:{tenant}:counted:{tier}:{process}, the last batch that a process wrote; absent where there is no batch
-- KEYS[3]  usage:tier:{tier}, unless it lies in another slot
-- ARGV[1]  now, 0 for the server's clock, or a date
-- ARGV[2]  number of the batch, ARGV[3] days that KEYS[1] lives, ARGV[4] days that KEYS[3] lives
-- ARGV[5]… fields and numbers in turn, first total_requests
--
-- Returns the date.
-- Invariant: a batch is counted once, however often it comes; those of a process come in their order.

local key, today = KEYS[1], ARGV[1]
if not string.find(today, '-', 1, true) then
  local now = tonumber(today)
  if now == 0 then
    now = tonumber(redis.call('TIME')[1]) * 1000
  end
  today = part(86400, now)
  key = key .. ':' .. today
end
if KEYS[2] then
  if tonumber(ARGV[2]) <= tonumber(redis.call('GET', KEYS[2]) or '0') then
    return today
  end
  -- Longer than anything is tried again.
  redis.call('SET', KEYS[2], ARGV[2], 'EX', 3600)
end
for i = 5, #ARGV, 2 do
  count(key, ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[3]))
end
if KEYS[3] then
  count(KEYS[3] .. ':' .. today, ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[4]))
end
return today
