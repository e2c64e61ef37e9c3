#!lua flags=allow-oom
-- tick: lets time act where no worker claims: delayed actions become visible, lost leases come back, and what waited too long
-- ends.
--
-- KEYS[1]  tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), dead letters kept, delay after a second crash (ms),
--          most queues to look at
-- Reply    now, oldest outcome that waits in the outbox (0 = none), claimed so far, then waiting actions and mean run
--          (ms, empty = unknown) of enterprise, professional, advance, free
-- Holds    Only heads of queues are looked at, a bounded number a run, from where the last run stopped.

local now = clock(ARGV[1])
local given = {result_ttl = tonumber(ARGV[2]), keep = ARGV[3], crash_delay = tonumber(ARGV[4])}
local budget = tonumber(ARGV[5])

promote(now, 1000)
reap(now, 1000, given)

-- Tells whether the head of a queue has to go, and ends it if it waited too long.
local function spent(id)
  local entry = head_of(id)
  if not entry then
    -- A tombstone goes; a malformed body stays for the next claim, which buries it.
    return redis.call('EXISTS', T .. 'b:' .. id) == 0
  end
  local _, _, deadline, first = recall(id)
  local why = nil
  if first then
    if deadline > 0 and now >= deadline then why = 'overdue' end
  elseif (entry.wait > 0 and now >= entry.wait) or (entry.deadline > 0 and now >= entry.deadline) then
    why = 'expired'
  end
  if not why then return false end
  count(entry.lane, -1)
  finish(id, entry, why, now, given)
  return true
end

local function look_at(lane, tenant, middle)
  local key = queue_key(tenant, middle, lane)
  local id = redis.call('LINDEX', key, 0)
  while id and budget > 0 and spent(id) do
    budget = budget - 1
    redis.call('LPOP', key)
    id = redis.call('LINDEX', key, 0)
  end
  if not id then redis.call('LREM', T .. 'x:' .. lane .. ':' .. tenant, 1, middle) end
  budget = budget - 1
end

local function look_around(lane, tenant)
  local ring = T .. 'x:' .. lane .. ':' .. tenant
  for _ = 1, redis.call('LLEN', ring) do
    if budget <= 0 then break end
    -- Turning the ring keeps the place for the next run, also when no claim turns it.
    look_at(lane, tenant, redis.call('LMOVE', ring, ring, 'LEFT', 'RIGHT'))
  end
  if redis.call('EXISTS', ring) == 0 then redis.call('ZREM', T .. 'r:' .. lane, tenant) end
end

for _, lane in ipairs(LANES) do
  local from = tonumber(redis.call('HGET', T .. 'v', 'scan:' .. lane) or 0)
  local tenants = redis.call('ZRANGE', T .. 'r:' .. lane, from, from + 99)
  for _, tenant in ipairs(tenants) do
    if budget > 0 then look_around(lane, tenant) end
  end
  local next_from = #tenants == 100 and from + 100 or 0
  if next_from ~= from then redis.call('HSET', T .. 'v', 'scan:' .. lane, next_from) end
end
close()

local oldest = redis.call('ZRANGE', T .. 'o', 0, 0, 'WITHSCORES')[2]
local numbers = redis.call('HMGET', T .. 'n', 'claimed', 'enterprise', 'professional', 'advance', 'free', 'run:enterprise',
  'run:professional', 'run:advance', 'run:free')
local reply = {now, oldest and tonumber(oldest) or 0, tonumber(numbers[1] or 0)}
for i = 2, 5 do
  reply[#reply + 1] = tonumber(numbers[i] or 0)
  reply[#reply + 1] = numbers[i + 4] or ''
end
return reply
