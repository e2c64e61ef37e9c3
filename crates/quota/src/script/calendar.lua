-- Parts of the calendar, in UTC.

-- The civil date of a day counted from 1970, Gregorian: eras of 400 years that begin on 1 March.
local function date(days)
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

-- The name of the part of the calendar, `unit` seconds long, that a moment lies in.
local function part(unit, ms)
  local number = math.floor(ms / 1000 / unit)
  return unit == 86400 and date(number) or string.format('%d', number)
end

-- Milliseconds until that part ends.
local function left(unit, ms)
  return (math.floor(ms / 1000 / unit) + 1) * unit * 1000 - ms
end

-- Adds to a counter of a hash of usage, which lives for `days`. One from which something is taken back stays above nothing: it
-- may have been counted on the day before.
local function count(key, field, number, days)
  if number < 0 then
    number = math.max(number, -tonumber(redis.call('HGET', key, field) or '0'))
  end
  if number == 0 then
    return
  end
  if redis.call('HINCRBY', key, field, number) == number then
    redis.call('EXPIRE', key, days * 86400, 'NX')
  end
end
