-- Counts requests that nobody had to decide about, or not in the same slot.
--
-- KEYS[1]  usage:{tenant}, to which the date is added; or the whole name, where ARGV[1] is a date
-- ARGV[1]  now, 0 for the server's clock, or a date
-- ARGV[2]  days that the usage lives; then fields and numbers in turn
--
-- Returns the date.

local key, today = KEYS[1], ARGV[1]
if not string.find(today, '-', 1, true) then
  local now = tonumber(today)
  if now == 0 then
    now = tonumber(redis.call('TIME')[1]) * 1000
  end
  today = part(86400, now)
  key = key .. ':' .. today
end
for i = 3, #ARGV, 2 do
  count(key, ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[2]))
end
return today
