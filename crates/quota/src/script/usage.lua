-- Returns {date, usage of the day}.
--
-- KEYS[1]  usage:{tenant}; ARGV[1] now, 0 for the server's clock, or a date

local date = ARGV[1]
if not string.find(date, '-', 1, true) then
  local now = tonumber(date)
  if now == 0 then
    now = tonumber(redis.call('TIME')[1]) * 1000
  end
  date = part(86400, now)
end
return { date, redis.call('HGETALL', KEYS[1] .. ':' .. date) }
