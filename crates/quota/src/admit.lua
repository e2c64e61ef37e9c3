-- Decides about one request in all windows of a tenant, and counts it if it is admitted.
--
-- KEYS[1]  rate_limit:{tenant}   beginning of the names of the windows
-- KEYS[2]  usage:{tenant}        beginning of the name of the tenant's usage
-- KEYS[3]  usage:tier:{tier}     beginning of the name of the tier's usage; none where it lies in another slot
-- ARGV[1]  now, milliseconds since 1970; 0 for the server's clock
-- ARGV[2]  limit a minute, ARGV[3] limit a day; -1 for unlimited
-- ARGV[4]  field of the usage that is counted beside total_requests; empty to look without charging
--
-- Returns {admitted 0|1, used in the minute, ms until it ends, used in the day, ms until it ends, today's date}.
-- Invariant: either every limited window and the usage are charged, or nothing is.
-- The names end in the minute and the date, which only the clock in here knows, so they are not among KEYS.

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local seconds = math.floor(now / 1000)
local days = math.floor(seconds / 86400)

-- Civil date from the days since 1970, Gregorian: eras of 400 years that begin on 1 March.
local function date()
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02d', year, month, day)
end

local today = date()
local minute = math.floor(seconds / 60)
local windows = {
  { key = KEYS[1] .. ':minute:' .. minute, limit = tonumber(ARGV[2]), left = (minute + 1) * 60000 - now, ttl = 60 },
  { key = KEYS[1] .. ':day:' .. today, limit = tonumber(ARGV[3]), left = (days + 1) * 86400000 - now, ttl = 86400 },
}

local admitted = 1
for _, window in ipairs(windows) do
  window.used = tonumber(redis.call('GET', window.key) or '0')
  if window.limit >= 0 and window.used >= window.limit then
    admitted = 0
  end
end

if admitted == 1 and ARGV[4] ~= '' then
  for _, window in ipairs(windows) do
    if window.limit >= 0 then
      window.used = redis.call('INCR', window.key)
      if window.used == 1 then
        redis.call('EXPIRE', window.key, window.ttl)
      end
    end
  end
  local tenant = KEYS[2] .. ':' .. today
  if redis.call('HINCRBY', tenant, 'total_requests', 1) == 1 then
    redis.call('EXPIRE', tenant, 7 * 86400)
  end
  redis.call('HINCRBY', tenant, ARGV[4], 1)
  if KEYS[3] then
    count_of_tier(KEYS[3] .. ':' .. today)
  end
end

local answer = { admitted }
for _, window in ipairs(windows) do
  answer[#answer + 1] = window.used
  answer[#answer + 1] = window.left
end
answer[#answer + 1] = today
return answer
