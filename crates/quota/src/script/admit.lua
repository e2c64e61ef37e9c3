-- Decides about one request in all windows that hold for it, and counts it if it is admitted.
--
-- KEYS[1]  usage:{tenant}               beginning of the name of the tenant's usage
-- KEYS[2]  rate_limit:{tenant}:tasks    tasks that go on, by the time when they are given up for lost
-- KEYS[3]  rate_limit:{tenant}:reserved what was charged for each of them
-- KEYS[4]  rate_limit:{tenant}:settled:{task}
-- KEYS[5]… beginnings of the names of the windows; then usage:tier:{tier}, unless it lies in another slot
-- ARGV[1]  now, milliseconds since 1970; 0 for the server's clock
-- ARGV[2]  field of the usage that is counted beside total_requests; empty to look without charging, `-` to count no usage
-- ARGV[3]  task that the request becomes, empty for none, and ARGV[4] the milliseconds that it may take
-- ARGV[5]  tasks that may go on at a time; -1 for any number
-- ARGV[6]  what the task reserves in each window of tokens, each behind a colon
-- ARGV[7]  for each window its length in seconds, its limit, what is charged, with blanks between them
--
-- Returns {admitted, now, today's date, tasks, {used and ms left of each window…}}: 0 refused, 1 charged, 2 a task that was
-- admitted before and is charged nothing.
-- Invariant: either every window, the task and the usage are charged, or nothing is.
-- The names of windows end in their part of the calendar, which only the clock in here knows, so they are not among KEYS.

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local today = part(86400, now)
local charge = ARGV[2] ~= ''
local most = tonumber(ARGV[5])
local admitted = 1

local known = ARGV[3] ~= ''
  and (redis.call('HEXISTS', KEYS[3], ARGV[3]) == 1 or redis.call('EXISTS', KEYS[4]) == 1)

local tasks = 0
if most >= 0 or ARGV[3] ~= '' then
  if charge then
    for _, lost in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 64)) do
      redis.call('ZREM', KEYS[2], lost)
      redis.call('HDEL', KEYS[3], lost)
    end
  end
  tasks = redis.call('ZCOUNT', KEYS[2], '(' .. now, '+inf')
  if most >= 0 and tasks >= most then
    admitted = 0
  end
end

local windows = {}
for unit, limit, amount in string.gmatch(ARGV[7], '(%d+) (%d+) (%d+)') do
  local window = { unit = tonumber(unit), limit = tonumber(limit), amount = tonumber(amount) }
  window.key = KEYS[5 + #windows] .. ':' .. part(window.unit, now)
  window.used = tonumber(redis.call('GET', window.key) or '0')
  if window.used + window.amount > window.limit then
    admitted = 0
  end
  windows[#windows + 1] = window
end

if known then
  admitted = 2
end
if admitted == 1 and charge then
  for _, window in ipairs(windows) do
    window.used = redis.call('INCRBY', window.key, window.amount)
    if window.used == window.amount then
      redis.call('EXPIRE', window.key, window.unit)
    end
  end
  if ARGV[3] ~= '' then
    local lease = tonumber(ARGV[4])
    redis.call('ZADD', KEYS[2], now + lease, ARGV[3])
    redis.call('HSET', KEYS[3], ARGV[3], string.format('%d', now) .. ARGV[6])
    tasks = tasks + 1
    -- Tasks of a tenant differ little in what they may take; the next one renews it.
    redis.call('PEXPIRE', KEYS[2], lease + 60000)
    redis.call('PEXPIRE', KEYS[3], lease + 60000)
  end
  if ARGV[2] ~= '-' then
    local usage = KEYS[1] .. ':' .. today
    count(usage, 'total_requests', 1, 7)
    redis.call('HINCRBY', usage, ARGV[2], 1)
  end
  local of_tier = KEYS[5 + #windows]
  if of_tier then
    count(of_tier .. ':' .. today, 'total_requests', 1, 30)
  end
end

local standing = { admitted, string.format('%.0f', now), today, string.format('%.0f', tasks) }
for _, window in ipairs(windows) do
  standing[#standing + 1] = string.format('%.0f', window.used)
  standing[#standing + 1] = string.format('%.0f', left(window.unit, now))
end
return table.concat(standing, ' ')
