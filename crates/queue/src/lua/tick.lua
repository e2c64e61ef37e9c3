#!lua flags=allow-oom
-- tick: lets time act where no worker claims: delayed actions become visible, lost leases come back, and what waited too long
-- ends.
--
-- Key      tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), dead letters kept, delay after a second crash (ms),
--          most queues to look at, how long dead letters are kept (ms)
-- Reply    now, oldest outcome that waits in the outbox (0 = none), actions that exist (waiting, delayed, leased), then claimed
--          so far, waiting actions, mean run (ms, empty = unknown) and age of the oldest that was looked at (ms) of enterprise,
--          professional, advance, free
-- Holds    Only heads of queues are looked at, a bounded number a run, from where the last run stopped. A partition that has
--          nothing costs four commands.

-- The time of the run, how endings are kept, how many queues may still be looked at, the age of the oldest action by lane.
local now, given, budget, oldest

-- Tells why a head has to go, and for what reason if somebody gave it; nil when it may stay.
local function why_spent(id, entry)
  local _, _, deadline, first = recall(id)
  local reason = call('HGET', T .. 'cx', id)
  -- Its caller gave it up; it is no dead letter.
  if reason then return 'cancelled', reason end
  if first then return deadline > 0 and now >= deadline and 'overdue' or nil end
  local late = (entry.wait > 0 and now >= entry.wait) or (entry.deadline > 0 and now >= entry.deadline)
  return late and 'expired' or nil
end

-- Tells whether the head of a queue has to go, and ends it if it waited too long.
local function is_spent(id)
  local entry = head_of(id)
  if not entry then
    -- A tombstone goes; a malformed body stays for the next claim, which buries it.
    return call('EXISTS', BODY .. id) == 0
  end
  local why, reason = why_spent(id, entry)
  if not why then
    oldest[entry.lane] = math.max(oldest[entry.lane] or 0, now - math.floor(entry.enqueued / 1000))
    return false
  end
  count(entry.lane, entry.tenant, -1)
  finish(id, entry, why, now, {result_ttl = given.result_ttl, keep = given.keep, reason = reason or ''})
  return true
end

local function look_at(lane, tenant, middle)
  local key = queue_key(tenant, middle, lane)
  local id = call('LINDEX', key, 0)
  while id and budget > 0 and is_spent(id) do
    budget = budget - 1
    call('LPOP', key)
    id = call('LINDEX', key, 0)
  end
  if not id then
    call('LREM', RING[lane] .. tenant, 1, middle)
    leave(tenant, middle, lane)
  end
  budget = budget - 1
end

-- Looks at the heads of a tenant's queues. Returns whether nothing is left of them.
local function look_around(lane, tenant)
  local ring = RING[lane] .. tenant
  for _ = 1, call('LLEN', ring) do
    if budget <= 0 then break end
    -- Turning the ring keeps the place for the next run, also when no claim turns it.
    look_at(lane, tenant, call('LMOVE', ring, ring, 'LEFT', 'RIGHT'))
  end
  return call('EXISTS', ring) == 0
end

-- Looks at a page of a set of tenants, from where the last run stopped. `visit` gets a member and its virtual time and tells
-- whether it has to go.
local function look_through(set, visit)
  local from, gone = tonumber(call('HGET', T .. 'v', 'scan:' .. set) or 0), 0
  local members = call('ZRANGE', T .. set, from, from + 99, 'WITHSCORES')
  for i = 1, #members, 2 do
    if budget > 0 and visit(members[i], tonumber(members[i + 1])) then gone = gone + call('ZREM', T .. set, members[i]) end
  end
  local next_from = #members == 200 and from + 100 - gone or 0
  if next_from ~= from then call('HSET', T .. 'v', 'scan:' .. set, next_from) end
end

-- Strikes out the tenants of a hash that have nothing any more, some at a time.
local function strike_out(key)
  local page = call('HSCAN', key, call('HGET', T .. 'v', 'scan:' .. key) or '0', 'COUNT', 200)
  local empty = {}
  for i = 1, #page[2], 2 do
    if page[2][i + 1] == '0' then empty[#empty + 1] = page[2][i] end
  end
  if #empty > 0 then call('HDEL', key, unpack(empty)) end
  call('HSET', T .. 'v', 'scan:' .. key, page[1])
end

-- Looks at everything that time may have changed.
local function look_everywhere(dead_ttl)
  let_time_act(now, 1000, given)
  local states = states_of(call('HGET', T .. 'v', 'lanes'))
  for _, lane in ipairs(LANES) do
    -- Who has nothing and is ahead of the others stays until they are there.
    local reached = virtual_of(states, lane)
    look_through('r:' .. lane, function(tenant, virtual) return look_around(lane, tenant) and virtual <= reached end)
  end
  if call('EXISTS', T .. 'park') == 1 then
    look_through('park', function(member)
      local lane, tenant = string.match(member, '^([^:]+):(.+)$')
      return look_around(lane, tenant)
    end)
  end
  close()
  strike_out(WAITING)
  strike_out(RUNNING)
  if dead_ttl > 0 then call('XTRIM', T .. 'dead', 'MINID', int(math.max(0, now - dead_ttl))) end
end

-- Returns the numbers of the partition.
local function numbers(any)
  local fields = {'callbacks'}
  for i = 2, #LANES do
    fields[#fields + 1] = 'claimed:' .. LANES[i]
    fields[#fields + 1] = LANES[i]
    fields[#fields + 1] = 'run:' .. LANES[i]
  end
  local known = call('HMGET', T .. 'n', unpack(fields))
  local exist = tonumber(known[1] or 0)
  if any then exist = exist + call('ZCARD', T .. 'lease') + call('ZCARD', T .. 'd') end
  local reply = {now, any and least('o') or 0, 0}
  for i = 2, #LANES do
    local at, base = #reply, 3 * (i - 2) + 1
    local waiting = tonumber(known[base + 2] or 0)
    reply[at + 1], reply[at + 2], reply[at + 3] = tonumber(known[base + 1] or 0), waiting, known[base + 3] or ''
    reply[at + 4] = oldest[LANES[i]] or 0
    exist = exist + waiting
  end
  reply[3] = exist
  return reply
end

local function tick(ARGV)
  now = clock(ARGV[1])
  given, budget, oldest = {result_ttl = tonumber(ARGV[2]), keep = ARGV[3], crash_delay = tonumber(ARGV[4])}, tonumber(ARGV[5]), {}
  local keys = {T .. 'd', T .. 'lease', T .. 'o', T .. 'park', T .. 'dead', WAITING, RUNNING}
  for _, lane in ipairs(LANES) do keys[#keys + 1] = READY[lane] end
  local any = call('EXISTS', unpack(keys)) > 0
  if any then look_everywhere(tonumber(ARGV[6])) end
  return numbers(any)
end
