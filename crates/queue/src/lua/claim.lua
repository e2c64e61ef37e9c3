#!lua flags=allow-oom
-- claim: leases the actions that are due to a worker, fairly.
--
-- KEYS[1]  tag of the partition
-- ARGV     now (0 = the server's clock), how many, lease (ms), how long records are kept (ms), dead letters kept,
--          delay after a second crash (ms), weights of enterprise, professional, advance, free
-- Reply    now, next moment of interest (0 = none), then {id, token, attempt, deadline (0 = none), first claim, events, body}
--          an action
-- Holds    Lanes share by start-time fair queueing over their weights; callbacks go first up to half. Inside a lane the
--          tenant with the least virtual time goes first, its contexts round robin, each queue first come first. Tokens
--          only grow. A lease, its tenant's number and the record change together. What is cancelled, expired or malformed
--          ends here instead of being leased.

local now, us = clock(ARGV[1])
local want, lease = tonumber(ARGV[2]), tonumber(ARGV[3])
local given = {result_ttl = tonumber(ARGV[4]), keep = ARGV[5], crash_delay = tonumber(ARGV[6])}
local WEIGHT = {enterprise = tonumber(ARGV[7]), professional = tonumber(ARGV[8]), advance = tonumber(ARGV[9]), free = tonumber(ARGV[10])}

promote(now, 100)
reap(now, 100, given)

local any_cancelled = redis.call('EXISTS', T .. 'cx') == 1
local any_failed = redis.call('EXISTS', T .. 'f') == 1
local stored = redis.call('HMGET', T .. 'v', 'tok', 'g', 'p:callbacks', 'p:enterprise', 'p:professional', 'p:advance', 'p:free',
  'v:callbacks', 'v:enterprise', 'v:professional', 'v:advance', 'v:free')
local token, global = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
local pass, virtual = {}, {}
for i, lane in ipairs(LANES) do
  pass[lane] = math.max(tonumber(stored[2 + i] or 0), global)
  virtual[lane] = tonumber(stored[7 + i] or 0)
end

local granted, leases, in_flight = {}, {}, {}
-- Bounds the work of one run when many ids are tombstones or have expired.
local patience = 4 * want + 256

-- Leases one action, unless it ends here. Returns its entry when it was leased.
local function grant(id, body)
  local entry = parse(body)
  if not entry then
    record(id, event('malformed', 0), 'status', 'failed', 'why', 'malformed', 'finished_at', int(now))
    redis.call('PEXPIRE', T .. 't:' .. id, given.result_ttl)
    bury(id, 'malformed', now, nil, 0, '', body, given.keep)
    forget(id)
    return nil
  end
  local failures, crashes, deadline, first = 0, 0, nil, nil
  if any_failed then failures, crashes, deadline, first = recall(id) end
  local reason = any_cancelled and redis.call('HGET', T .. 'cx', id)
  local ending = {result_ttl = given.result_ttl, keep = given.keep, reason = reason or ''}
  if reason then
    finish(id, entry, 'cancelled', now, ending)
    return nil
  end
  if not first then
    if (entry.wait > 0 and now >= entry.wait) or (entry.deadline > 0 and now >= entry.deadline) then
      finish(id, entry, 'expired', now, ending)
      return nil
    end
    first = now
    deadline = entry.deadline
    if deadline == 0 and entry.budget > 0 then deadline = now + entry.budget end
  elseif deadline > 0 and now >= deadline then
    finish(id, entry, 'overdue', now, ending)
    return nil
  end
  token = math.max(token + 1, us)
  local attempt = failures + crashes + 1
  leases[#leases + 1] = now + lease
  leases[#leases + 1] = id .. ':' .. int(token)
  in_flight[entry.tenant] = (in_flight[entry.tenant] or 0) + 1
  local events = ''
  if entry.root then
    events = record(id, event('claimed', attempt), 'status', 'running', 'stage', 'claimed', 'attempts', attempt,
      'started_at', int(first)) or ''
  end
  granted[#granted + 1] = {id, int(token), attempt, int(deadline), int(first), events, body}
  return entry
end

-- Takes up to `most` ids of a tenant, its contexts in turn. Returns them and whether nothing is left.
local function take(lane, tenant, most)
  local ring = T .. 'x:' .. lane .. ':' .. tenant
  local contexts = redis.call('LLEN', ring)
  local ids = {}
  while #ids < most and contexts > 0 do
    local alone = contexts == 1
    local middle = alone and redis.call('LINDEX', ring, 0) or redis.call('LMOVE', ring, ring, 'LEFT', 'RIGHT')
    local size = alone and most - #ids or 1
    local key = queue_key(tenant, middle, lane)
    local popped = redis.call('LPOP', key, size) or {}
    for _, id in ipairs(popped) do ids[#ids + 1] = id end
    if #popped < size or redis.call('EXISTS', key) == 0 then
      redis.call('RPOP', ring)
      contexts = contexts - 1
    end
  end
  return ids, contexts == 0
end

-- Leases up to `most` actions of one tenant. Returns how many, what they cost, and whether nothing is left.
local function visit(lane, tenant, most)
  local ids, empty = take(lane, tenant, most)
  local served, cost = 0, 0
  patience = patience - #ids
  if #ids > 0 then
    local keys = {}
    for i, id in ipairs(ids) do keys[i] = T .. 'b:' .. id end
    local bodies = redis.call('MGET', unpack(keys))
    for i, id in ipairs(ids) do
      if bodies[i] then
        count(lane, -1)
        local entry = grant(id, bodies[i])
        if entry then
          served = served + 1
          cost = cost + (lane == 'callbacks' and 1 / WEIGHT[entry.tier] or 1)
        end
      end
    end
  end
  return served, cost, empty
end

-- Leases up to `most` actions of one lane, the tenant with the least virtual time first.
local function serve(lane, most)
  local ready, got = T .. 'r:' .. lane, 0
  while got < most and patience > 0 do
    local tenants = redis.call('ZCARD', ready)
    if tenants == 0 then break end
    local page = redis.call('ZRANGE', ready, 0, most - got, 'WITHSCORES')
    local quantum = math.max(1, math.min(8, math.floor((most - got) / tenants)))
    for i = 1, #page, 2 do
      if got >= most or patience <= 0 then break end
      local tenant, start = page[i], tonumber(page[i + 1])
      local size = quantum
      if tenants == 1 then
        size = most - got
      elseif page[i + 3] then
        -- As long as it stays behind the next one it would be chosen again.
        size = math.max(quantum, math.floor(tonumber(page[i + 3]) - start) + 1)
      end
      local served, cost, empty = visit(lane, tenant, math.min(size, most - got))
      virtual[lane] = math.max(virtual[lane], start)
      got = got + served
      if empty then
        redis.call('ZREM', ready, tenant)
        if cost > 0 then redis.call('ZADD', T .. 'z:' .. lane, start + cost, tenant) end
      elseif cost > 0 then
        redis.call('ZADD', ready, start + cost, tenant)
      end
    end
  end
  if got > 0 then redis.call('ZREMRANGEBYSCORE', T .. 'z:' .. lane, '-inf', virtual[lane]) end
  return got
end

-- Returns the lanes that have work. Callbacks weigh as much as all others that have.
local function open_lanes()
  local open, others = {}, 0
  for _, lane in ipairs(LANES) do
    if redis.call('EXISTS', T .. 'r:' .. lane) == 1 then
      open[#open + 1] = lane
      others = others + (lane == 'callbacks' and 0 or WEIGHT[lane])
    end
  end
  WEIGHT.callbacks = math.max(others, 1)
  return open
end

-- Decides how many of `slots` each lane gets: always the one with the least pass, in the order of LANES when equal.
local function shares(open, slots)
  local share = {}
  for _, lane in ipairs(open) do share[lane] = 0 end
  if #open == 1 then
    share[open[1]] = slots
    return share
  end
  local at = {}
  for _, lane in ipairs(open) do at[lane] = pass[lane] end
  for _ = 1, slots do
    local best = open[1]
    for _, lane in ipairs(open) do
      if at[lane] < at[best] then best = lane end
    end
    share[best] = share[best] + 1
    at[best] = at[best] + 1 / WEIGHT[best]
  end
  return share
end

local served_pass = global
local open = open_lanes()
while #granted < want and #open > 0 and patience > 0 do
  local share = shares(open, want - #granted)
  for _, lane in ipairs(open) do
    if share[lane] > 0 then
      pass[lane] = pass[lane] + serve(lane, share[lane]) / WEIGHT[lane]
      served_pass = math.max(served_pass, pass[lane])
    end
  end
  open = open_lanes()
end

if #granted > 0 then
  redis.call('ZADD', T .. 'lease', unpack(leases))
  for tenant, more in pairs(in_flight) do redis.call('HINCRBY', T .. 'inf', tenant, more) end
  -- The common clock of the lanes is the least pass of those that have work: who comes back after a pause starts there.
  local clock_of_lanes = nil
  for _, lane in ipairs(open) do
    if not clock_of_lanes or pass[lane] < clock_of_lanes then clock_of_lanes = pass[lane] end
  end
  global = math.max(global, clock_of_lanes or served_pass)
  local values = {'tok', int(token), 'g', string.format('%.17g', global)}
  for _, lane in ipairs(LANES) do
    values[#values + 1] = 'p:' .. lane
    values[#values + 1] = string.format('%.17g', pass[lane])
    values[#values + 1] = 'v:' .. lane
    values[#values + 1] = string.format('%.17g', virtual[lane])
  end
  redis.call('HSET', T .. 'v', unpack(values))
  redis.call('HINCRBY', T .. 'n', 'claimed', #granted)
end
-- A token stays for the next worker while work is ready, and goes when none is.
woken = #open > 0
if not woken then redis.call('DEL', T .. 'wake') end
close()

local reply = {now, next_moment()}
for _, item in ipairs(granted) do reply[#reply + 1] = item end
return reply
