-- Decides about requests of one tenant, one after the other, each in all windows that hold for it, and counts those that are
-- admitted.
--
-- KEYS[1]  usage:{tenant}               beginning of the name of the tenant's usage
-- KEYS[2]  rate_limit:{tenant}:tasks    tasks that go on, by the time when they are given up for lost
-- KEYS[3]  rate_limit:{tenant}:reserved what was charged for each of them
-- KEYS[4]… beginnings of the names of the windows; then rate_limit:{tenant}:settled:{task} for each request; then
--          usage:tier:{tier}, unless it lies in another slot
-- ARGV[1]  now, milliseconds since 1970; 0 for the server's clock
-- ARGV[2]  for each window its length in seconds and its limit, with blanks between them
-- ARGV[3]… for each request, with blanks between them: the field of the usage that is counted beside total_requests (`.` to look
--          without charging, `-` to count no usage); the task that it becomes, `.` for none; the milliseconds that it may take;
--          the tasks that may go on at a time, -1 for any number; what the task reserves in each window of tokens, each behind a
--          colon, all behind a dot; and for each window that holds for it its number and what is charged
--
-- Returns lines of numbers: now and today's date; then for each request what was decided, the tasks that go on, and of each of its
-- windows what is used and the ms left. Decisions: 0 refused, 1 charged, 2 a task that was admitted before and is charged nothing.
-- Invariant: of a request either every window, the task and the usage are charged, or nothing is; and those before it count.
-- The names of windows end in their part of the calendar, which only the clock in here knows, so they are not among KEYS.

local FIRST_WINDOW, FIRST_REQUEST, FIRST_CHARGE = 4, 3, 6

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local today = part(86400, now)

-- What is used by the names of windows, and what is to be added.
local windows, used, added = {}, {}, {}
for unit, limit in string.gmatch(ARGV[2], '(%d+) (%d+)') do
  local window = { unit = tonumber(unit), limit = tonumber(limit) }
  window.key = KEYS[FIRST_WINDOW + #windows] .. ':' .. part(window.unit, now)
  window.left = string.format('%.0f', left(window.unit, now))
  windows[#windows + 1] = window
  used[window.key] = used[window.key] or tonumber(redis.call('GET', window.key) or '0')
end
local settled = FIRST_WINDOW + #windows - FIRST_REQUEST
local of_tier = KEYS[settled + #ARGV + 1]

-- Tasks that go on, counted when it matters, and those that begin here.
local tasks
local begun, leases, reserved, longest = {}, {}, {}, 0
local function going_on(charges)
  if not tasks then
    if charges then
      for _, lost in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 64)) do
        redis.call('ZREM', KEYS[2], lost)
        redis.call('HDEL', KEYS[3], lost)
      end
    end
    tasks = redis.call('ZCOUNT', KEYS[2], '(' .. now, '+inf')
  end
  return tasks
end

local admitted, fields = 0, {}
local answers = { string.format('%.0f', now) .. ' ' .. today }
for at = FIRST_REQUEST, #ARGV do
  local asked = {}
  for word in string.gmatch(ARGV[at], '%S+') do
    asked[#asked + 1] = word
  end
  local field, task, lease, most, reserves = asked[1], asked[2], tonumber(asked[3]), tonumber(asked[4]), asked[5]
  local charges = field ~= '.'
  local becomes = task ~= '.'

  local known = becomes
    and (begun[task] or redis.call('HEXISTS', KEYS[3], task) == 1 or redis.call('EXISTS', KEYS[settled + at]) == 1)
  local decision, going = 1, 0
  if most >= 0 or becomes then
    going = going_on(charges)
    if most >= 0 and going >= most then
      decision = 0
    end
  end
  for place = FIRST_CHARGE, #asked, 2 do
    local window = windows[tonumber(asked[place])]
    if used[window.key] + tonumber(asked[place + 1]) > window.limit then
      decision = 0
    end
  end
  if known then
    decision = 2
  end

  if decision == 1 and charges then
    admitted = admitted + 1
    for place = FIRST_CHARGE, #asked, 2 do
      local key, amount = windows[tonumber(asked[place])].key, tonumber(asked[place + 1])
      used[key] = used[key] + amount
      added[key] = (added[key] or 0) + amount
    end
    if becomes then
      tasks, going = tasks + 1, going + 1
      begun[task] = true
      leases[#leases + 1] = now + lease
      leases[#leases + 1] = task
      reserved[#reserved + 1] = task
      reserved[#reserved + 1] = string.format('%d', now) .. string.sub(reserves, 2)
      longest = math.max(longest, lease)
    end
    if field ~= '-' then
      fields[field] = (fields[field] or 0) + 1
    end
  end

  local answer = { decision, string.format('%.0f', going) }
  for place = FIRST_CHARGE, #asked, 2 do
    local window = windows[tonumber(asked[place])]
    answer[#answer + 1] = string.format('%.0f', used[window.key])
    answer[#answer + 1] = window.left
  end
  answers[#answers + 1] = table.concat(answer, ' ')
end

for _, window in ipairs(windows) do
  local amount = added[window.key]
  if amount then
    added[window.key] = nil
    if redis.call('INCRBY', window.key, amount) == amount then
      redis.call('EXPIRE', window.key, window.unit)
    end
  end
end
if #leases > 0 then
  redis.call('ZADD', KEYS[2], unpack(leases))
  redis.call('HSET', KEYS[3], unpack(reserved))
  -- Tasks of a tenant differ little in what they may take; the next one renews it.
  redis.call('PEXPIRE', KEYS[2], longest + 60000)
  redis.call('PEXPIRE', KEYS[3], longest + 60000)
end
local usage = KEYS[1] .. ':' .. today
for field, number in pairs(fields) do
  count(usage, 'total_requests', number, 7)
  redis.call('HINCRBY', usage, field, number)
end
if of_tier and admitted > 0 then
  count(of_tier .. ':' .. today, 'total_requests', admitted, 30)
end
return table.concat(answers, '\n')
