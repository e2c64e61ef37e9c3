#!lua flags=allow-oom
-- claim: leases the actions that are due to a worker, fairly.
--
-- KEYS[1]  tag of the partition
-- ARGV     now (0 = the server's clock), how many, lease (ms), how long records are kept (ms), dead letters kept,
--          delay after a second crash (ms), weights of enterprise, professional, advance, free, weighted | strict, reserve (%),
--          quantum, most leases of a tenant (0 = no limit), ageing of the four tiers (ms, 0 = never)
-- Reply    now, next moment of interest (0 = none), then 7 values an action: id, token, attempt, deadline (0 = none), first
--          claim, events, body
-- Holds    Lanes share by start-time fair queueing over their weights, or strictly with a reserve; callbacks go first up to
--          half. Inside a lane the tenant with the least virtual time goes first, its contexts round robin, each queue first
--          come first. No tenant has more leases than its cap. Tokens only grow. A lease, its tenant's number and the record
--          change together. What is cancelled, expired or malformed ends here instead of being leased.

local now, us = clock(ARGV[1])
local want, lease = tonumber(ARGV[2]), tonumber(ARGV[3])
local given = {result_ttl = tonumber(ARGV[4]), keep = ARGV[5], crash_delay = tonumber(ARGV[6])}
let_time_act(now, 100, given)

local known = settings({ARGV[7], ARGV[8], ARGV[9], ARGV[10]}, ARGV[11], ARGV[12], ARGV[13], ARGV[14],
  {ARGV[15], ARGV[16], ARGV[17], ARGV[18]})
local any_cancelled = call('EXISTS', T .. 'cx') == 1
local any_failed = call('EXISTS', T .. 'f') == 1
local any_capped = known.cap > 0 or call('EXISTS', T .. 'cap') == 1
local any_paused = call('EXISTS', T .. 'pt') == 1

local stored = call('HMGET', T .. 'v', 'tok', 'g', 'credit', 'p:callbacks', 'p:enterprise', 'p:professional', 'p:advance',
  'p:free', 'v:callbacks', 'v:enterprise', 'v:professional', 'v:advance', 'v:free', 'h:enterprise', 'h:professional',
  'h:advance', 'h:free', 'half')
local token, global = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
local carry = {credit = tonumber(stored[3] or 0), half = tonumber(stored[18] or 0)}
local pass, virtual, weight, oldest, served_of = {}, {}, {}, {}, {}
for i, lane in ipairs(LANES) do
  pass[lane] = math.max(tonumber(stored[3 + i] or 0), global)
  virtual[lane] = tonumber(stored[8 + i] or 0)
  -- The oldest action of the last claim that served the lane stands for its head.
  local head = i > 1 and tonumber(stored[12 + i] or 0) or 0
  if i > 1 then weight[lane] = known.weight[lane] * aged(head > 0 and now - head or 0, known.ageing[lane]) end
end

local granted, leases, in_flight = {}, {}, {}
-- Written out once: Redis would print the number anew for every lease.
local lease_end = int(now + lease)
-- Bounds the work of one run when many ids are tombstones or have expired.
local patience = 4 * want + 256

-- Tells why a waiting action ends instead of being leased; nil when it does not.
local function spent(reason, wait, overall, deadline, first)
  if reason then return 'cancelled' end
  if first then return deadline > 0 and now >= deadline and 'overdue' or nil end
  return ((wait > 0 and now >= wait) or (overall > 0 and now >= overall)) and 'expired' or nil
end

-- Leases one action that stands in the queue of this tenant and middle, unless it ends here. Returns what it costs its
-- tenant, nil when it was not leased. Every action comes through here, so its header is read in place.
local function grant(id, body, lane, tenant, middle)
  local ours = #body >= FIXED
  local magic, place, tier, flags, _, _, enqueued, wait, within, budget, tenant_length, middle_length
  if ours then
    magic, place, tier, flags, _, _, enqueued, wait, within, budget, tenant_length, middle_length = struct.unpack(HEADER, body)
  end
  if magic ~= MAGIC or tenant_length ~= #tenant or middle_length ~= #middle or LANES[place] ~= lane or not LANES[tier]
    or tier == 1 or string.sub(body, FIXED + 1, FIXED + tenant_length + middle_length) ~= tenant .. middle then
    return bury_malformed(id, body, now, given)
  end
  local visible = math.floor(enqueued / 1000)
  local failures, crashes, deadline, first = 0, 0, nil, nil
  if any_failed then failures, crashes, deadline, first = recall(id) end
  local reason = any_cancelled and call('HGET', T .. 'cx', id)
  local overall = within > 0 and visible + within or 0
  local why = spent(reason, wait > 0 and visible + wait or 0, overall, deadline, first)
  if why then
    finish(id, parse(body), why, now, {result_ttl = given.result_ttl, keep = given.keep, reason = reason or ''})
    return nil
  end
  if not first then
    first = now
    deadline = overall
    if deadline == 0 and budget > 0 then deadline = now + budget end
    if visible < (oldest[lane] or math.huge) then oldest[lane] = visible end
  end
  token = math.max(token + 1, us)
  local attempt, events = failures + crashes + 1, ''
  local at = #leases
  leases[at + 1], leases[at + 2] = lease_end, string.format('%s:%d', id, token)
  if has(flags, ROOT) then
    events = record(id, event('claimed', attempt), 'status', 'running', 'stage', 'claimed', 'attempts', attempt,
      'started_at', int(first)) or ''
  end
  at = #granted
  granted[at + 1], granted[at + 2], granted[at + 3], granted[at + 4] = id, token, attempt, deadline
  granted[at + 5], granted[at + 6], granted[at + 7] = first, events, body
  return lane == 'callbacks' and 1 / weight[LANES[tier]] or 1
end

-- What one pass over a lane took: ids, and whose each is.
local taken, owner, middle_of

-- Takes from one queue of a tenant. Returns how many, and whether the queue has something left to give now.
local function pop(lane, tenant, middle, most)
  local key = queue_key(tenant, middle, lane)
  local in_order = any_ordered() and call('HGET', T .. 'ol', queue_of(tenant, middle, lane))
  if in_order then most = 1 end
  local popped = call('LPOP', key, most) or {}
  local at, number = #taken, #popped
  for i = 1, number do taken[at + i], owner[at + i], middle_of[at + i] = popped[i], tenant, middle end
  if in_order and number == 1 then
    -- The next one may go when this one has ended.
    call('HSET', T .. 'ol', queue_of(tenant, middle, lane), popped[1])
    return 1, false
  end
  return number, number == most and call('EXISTS', key) == 1
end

-- Takes up to `most` ids of a tenant, from all its contexts alike: what does not divide goes to those at the head of the ring,
-- which then go to its end. Returns how many, and whether nothing is left to take.
local function take(lane, tenant, most)
  local ring, got = T .. 'x:' .. lane .. ':' .. tenant, 0
  local contexts = call('LLEN', ring)
  while got < most and contexts > 0 do
    local left = most - got
    local part, more = math.floor(left / contexts), left % contexts
    for i, middle in ipairs(call('LRANGE', ring, 0, math.min(contexts, left) - 1)) do
      local first = i <= more
      local number, stays = pop(lane, tenant, middle, first and part + 1 or part)
      got = got + number
      if not stays then
        call('LREM', ring, 1, middle)
        contexts = contexts - 1
      elseif first then
        call('LMOVE', ring, ring, 'LEFT', 'RIGHT')
      end
    end
  end
  return got, contexts == 0
end

-- Leases what a pass took. Returns how many, and what that cost each tenant.
local function lease_taken(lane)
  local got, cost = 0, {}
  if #taken == 0 then return got, cost end
  local keys = {}
  for i = 1, #taken do keys[i] = BODY .. taken[i] end
  local bodies = call('MGET', unpack(keys))
  for i = 1, #taken do
    local id, tenant, costs = taken[i], owner[i], nil
    if bodies[i] then
      count(lane, tenant, -1)
      costs = grant(id, bodies[i], lane, tenant, middle_of[i])
    end
    if costs then
      got = got + 1
      cost[tenant] = (cost[tenant] or 0) + costs
      if lane ~= 'callbacks' then in_flight[tenant] = (in_flight[tenant] or 0) + 1 end
    else
      unlock(tenant, middle_of[i], lane, id)
    end
  end
  return got, cost
end

-- Returns how many more leases each tenant of a page may have; nil when nobody is limited.
local function rooms(lane, tenants)
  if lane == 'callbacks' or not (any_capped or any_paused) then return nil end
  local running, own = call('HMGET', T .. 'inf', unpack(tenants)), call('HMGET', T .. 'cap', unpack(tenants))
  local paused, room = call('HMGET', T .. 'pt', unpack(tenants)), {}
  for i, tenant in ipairs(tenants) do
    local cap = tonumber(own[i] or known.cap)
    room[i] = math.huge
    if cap > 0 then room[i] = cap - tonumber(running[i] or 0) - (in_flight[tenant] or 0) end
    if paused[i] then room[i] = 0 end
  end
  return room
end

-- Lets one tenant of a page take. Returns whether its ring is empty.
local function visit(lane, tenant, size, room)
  if room and room <= 0 then return false end
  local got, empty = take(lane, tenant, math.min(size, room or size))
  patience = patience - got
  return empty
end

-- One pass over the tenants of a lane, the one with the least virtual time first. Returns how many actions were leased, and
-- whether anything was taken.
local function turn(lane, most)
  local ready = T .. 'r:' .. lane
  local page = call('ZRANGE', ready, 0, most, 'WITHSCORES')
  local tenants, visited = {}, {}
  for i = 1, #page, 2 do tenants[#tenants + 1] = page[i] end
  local room = #tenants > 0 and rooms(lane, tenants)
  taken, owner, middle_of = {}, {}, {}
  for i, tenant in ipairs(tenants) do
    if #taken >= most or patience <= 0 then break end
    local start, after = tonumber(page[2 * i]), page[2 * i + 2]
    -- As long as it stays behind the next one it would be chosen again.
    local size = after and math.max(known.quantum, math.floor(tonumber(after) - start) + 1) or known.quantum
    if #tenants == 1 then size = most end
    local empty = visit(lane, tenant, math.min(size, most - #taken), room and room[i])
    visited[#visited + 1] = {tenant = tenant, start = start, empty = empty, room = room and room[i]}
    virtual[lane] = math.max(virtual[lane], start)
  end
  local got, cost = lease_taken(lane)
  local again, gone, left_at = {}, {}, {}
  for _, seen in ipairs(visited) do
    local tenant, at = seen.tenant, seen.start + (cost[seen.tenant] or 0)
    local score = at % 1 == 0 and int(at) or at
    -- What was taken and ended instead of being leased leaves the tenant its room.
    local full = seen.room and (cost[tenant] or 0) >= seen.room
    -- What was not leased after all may have let its queue back into the ring.
    if seen.empty and any_ordered() and call('EXISTS', T .. 'x:' .. lane .. ':' .. tenant) == 1 then seen.empty = false end
    if seen.empty or full then
      gone[#gone + 1] = tenant
      if not seen.empty then
        call('ZADD', T .. 'park', score, lane .. ':' .. tenant)
      elseif at > seen.start then
        left_at[#left_at + 1], left_at[#left_at + 2] = score, tenant
      end
    elseif at > seen.start then
      again[#again + 1], again[#again + 2] = score, tenant
    end
  end
  if #again > 0 then call('ZADD', ready, unpack(again)) end
  if #gone > 0 then call('ZREM', ready, unpack(gone)) end
  if #left_at > 0 then call('ZADD', T .. 'z:' .. lane, unpack(left_at)) end
  return got, #visited > 0
end

-- Leases up to `most` actions of one lane.
local function serve(lane, most)
  local got, any = 0, true
  while got < most and patience > 0 and any do
    local more
    more, any = turn(lane, most - got)
    got = got + more
  end
  if got > 0 then call('ZREMRANGEBYSCORE', T .. 'z:' .. lane, '-inf', virtual[lane]) end
  return got
end

-- Returns the lanes that have work and may be served. Callbacks weigh as much as all others that have.
local function open_lanes()
  local open, others = {}, 0
  if known.all_paused then return open end
  for _, lane in ipairs(LANES) do
    if not known.paused[lane] and call('EXISTS', T .. 'r:' .. lane) == 1 then
      open[#open + 1] = lane
      others = others + (lane == 'callbacks' and 0 or weight[lane])
    end
  end
  weight.callbacks = math.max(others, 1)
  return open
end

local served_pass = global
local open = open_lanes()
while #granted < 7 * want and #open > 0 and patience > 0 do
  local share, free = shares(open, want - #granted / 7, pass, weight, known, carry)
  for _, lane in ipairs(open) do
    if share[lane] > 0 then
      local got = serve(lane, share[lane])
      served_of[lane] = (served_of[lane] or 0) + got
      pass[lane] = pass[lane] + math.max(0, got - (free[lane] or 0)) / weight[lane]
      served_pass = math.max(served_pass, pass[lane])
    end
  end
  open = open_lanes()
end

if #granted > 0 then
  call('ZADD', T .. 'lease', unpack(leases))
  for tenant, more in pairs(in_flight) do call('HINCRBY', RUNNING, tenant, more) end
  -- The common clock of the lanes is the least pass of those that have work: who comes back after a pause starts there.
  local clock_of_lanes = nil
  for _, lane in ipairs(open) do
    if not clock_of_lanes or pass[lane] < clock_of_lanes then clock_of_lanes = pass[lane] end
  end
  global = math.max(global, clock_of_lanes or served_pass)
  local values = {'tok', int(token), 'g', string.format('%.17g', global), 'credit', string.format('%.17g', carry.credit), 'half',
    carry.half}
  local still = {}
  for _, lane in ipairs(open) do still[lane] = true end
  for lane, served in pairs(served_of) do
    values[#values + 1] = 'p:' .. lane
    values[#values + 1] = string.format('%.17g', pass[lane])
    values[#values + 1] = 'v:' .. lane
    values[#values + 1] = string.format('%.17g', virtual[lane])
    -- What was tried before says nothing about how long the lane's head has waited.
    if lane ~= 'callbacks' and (oldest[lane] or not still[lane]) then
      values[#values + 1] = 'h:' .. lane
      values[#values + 1] = still[lane] and int(oldest[lane]) or '0'
    end
    if served > 0 then call('HINCRBY', T .. 'n', 'claimed:' .. lane, served) end
  end
  call('HSET', T .. 'v', unpack(values))
end
-- A token stays for the next worker while work is ready, and goes when none is.
woken = #open > 0
if not woken then call('DEL', T .. 'wake') end
close()

return {now, next_moment(), unpack(granted)}
