#!lua flags=allow-oom
-- claim: leases the actions that are due to a worker, fairly.
--
-- Key      tag of the partition
-- ARGV     now (0 = the server's clock), how many, lease (ms), how long records are kept (ms), dead letters kept,
--          delay after a second crash (ms), weights of enterprise, professional, advance, free, weighted | strict, reserve (%),
--          quantum, most leases of a tenant (0 = no limit), ageing of the four tiers (ms, 0 = never)
-- Reply    now, next moment of interest (0 = none), token of the deliveries, then an
--          action after the other: id and body of one that is claimed for the first time and has no record; else id, attempt,
--          deadline (0 = none), first claim, events and body
-- Holds    Lanes share by start-time fair queueing over their weights, or strictly with a reserve; callbacks go first up to
--          half. Inside a lane the tenant with the least virtual time goes first, its contexts round robin, each queue first
--          come first. No tenant has more leases than its cap. A claim has one token, and tokens only grow. A lease, its
--          tenant's number and the record change together. What is cancelled, expired or malformed ends here instead of being leased.

-- The time of the run, how many are wanted, the end of their leases, how endings are kept, what rules the partition.
local now, us, want, lease_end, given, known
-- Whether any tenant has a cap or is paused, whether anything failed or was cancelled before.
local any_capped, any_paused, any_trouble
-- The token, and as the end of a lease's name.
local token, suffix
-- By lane: passes, virtual times, weights, the moment of the oldest action of the last claim that served it and of this one, how
-- many are leased now, how many a tenant gave in the last pass, for which the next page of tenants is made.
local pass, virtual, weight, head, oldest, served_of, gave
-- The common clock of the lanes, and what does not come out even in strict sharing.
local global, carry
-- What the answer says of the leased ones, the leases, how many they are, those of a tenant.
local granted, leases, leased, in_flight
-- The end of the leases written out once: Redis would print the number anew for every one.
local lease_score
-- Bounds the work of one run when many ids are tombstones or have expired.
local patience
-- What a pass takes: ids, and for each the place of its tenant in the pass and the middle of its queue.
local taken, visit_of, middle_of

-- What the process was started with is the same most of the time, and read once.
local start_text, start_rules

local function read_rules(ARGV)
  local weights, ageing = {ARGV[7], ARGV[8], ARGV[9], ARGV[10]}, {ARGV[15], ARGV[16], ARGV[17], ARGV[18]}
  local text = table.concat(ARGV, ' ', 7, 18)
  if text ~= start_text then
    start_text, start_rules = text, settings(false, weights, ARGV[11], ARGV[12], ARGV[13], ARGV[14], ageing)
  end
  known = start_rules
  if seldom and call('EXISTS', T .. 'cfg') == 1 then
    known = settings(true, weights, ARGV[11], ARGV[12], ARGV[13], ARGV[14], ageing)
  end
  any_capped = known.cap > 0 or (seldom and call('EXISTS', T .. 'cap') == 1)
  any_paused = seldom and call('EXISTS', T .. 'pt') == 1
end

-- Reads where the last claim has left the lanes.
local function read_lanes()
  local stored = call('HMGET', T .. 'v', 'tok', 'lanes')
  local states = states_of(stored[2])
  -- All that one claim leases has one token; it is written out once.
  token, global = math.max(tonumber(stored[1] or 0) + 1, us), states[1] or 0
  suffix = ':' .. int(token)
  carry = {credit = states[2] or 0, half = states[3] or 0}
  pass, virtual, head, weight, oldest, served_of, gave = {}, {}, {}, {}, {}, {}, {}
  for i, lane in ipairs(LANES) do
    local at = 4 * i - 1
    pass[lane], virtual[lane], head[lane] = math.max(states[at + 1] or 0, global), virtual_of(states, lane), states[at + 3] or 0
    gave[lane] = math.max(1, states[at + 4] or known.quantum)
    if i > 1 then
      -- The oldest action of the last claim that served the lane stands for its head.
      weight[lane] = known.weight[lane] * aged(head[lane] > 0 and now - head[lane] or 0, known.ageing[lane])
    end
  end
end

-- Tells why a waiting action ends instead of being leased; nil when it does not.
local function spent(reason, wait, overall, deadline, first)
  if reason then return 'cancelled' end
  if first then return deadline > 0 and now >= deadline and 'overdue' or nil end
  return ((wait > 0 and now >= wait) or (overall > 0 and now >= overall)) and 'expired' or nil
end

-- Leases one action that stands in the queue whose name the header has to say, unless it ends here. Returns what it costs
-- its tenant, nil when it was not leased. Every action comes through here, so its header is read in place.
local function grant(id, body, lane, says)
  local enqueued, magic, place, tier, flags, wait, within, budget, _
  if #body >= FIXED then
    enqueued, magic, place, tier, flags, _, _, wait, within, budget = struct.unpack(HEADER, body)
  end
  if magic ~= MAGIC or LANES[place] ~= lane or not LANES[tier] or tier == 1
    or string.find(body, says, FIXED - 1, true) ~= FIXED - 1 then
    return bury_malformed(id, body, now, given)
  end
  local visible, failures, crashes, deadline, first, reason = math.floor(enqueued / 1000), 0, 0, nil, nil, nil
  if any_trouble then
    failures, crashes, deadline, first = recall(id)
    reason = call('HGET', T .. 'cx', id)
  end
  local overall = within > 0 and visible + within or 0
  local why = spent(reason, wait > 0 and visible + wait or 0, overall, deadline, first)
  if why then
    finish(id, parse(body), why, now, {result_ttl = given.result_ttl, keep = given.keep, reason = reason or ''})
    return nil
  end
  if not first and visible < (oldest[lane] or math.huge) then oldest[lane] = visible end
  leased = leased + 1
  leases[2 * leased - 1], leases[2 * leased] = lease_score, id .. suffix
  local at = #granted
  if first or flags % 2 == ROOT then
    if not first then
      first = now
      deadline = overall
      if deadline == 0 and budget > 0 then deadline = now + budget end
    end
    local attempt, events = failures + crashes + 1, ''
    if has(flags, ROOT) then
      events = record(id, event('claimed', attempt), 'status', 'running', 'stage', 'claimed', 'attempts', attempt,
        'started_at', int(first)) or ''
    end
    granted[at + 1], granted[at + 2], granted[at + 3], granted[at + 4] = id, attempt, deadline, first
    granted[at + 5], granted[at + 6] = events, body
  else
    granted[at + 1], granted[at + 2] = id, body
  end
  return lane == 'callbacks' and 1 / weight[LANES[tier]] or 1
end

-- Takes up to `most` ids off one queue. Returns how many, and whether the queue stays in its ring.
local function pop(lane, tenant, middle, most, visit)
  local key = queue_key(tenant, middle, lane)
  local in_order = any_ordered() and call('HGET', T .. 'ol', queue_of(tenant, middle, lane))
  if in_order then most = 1 end
  local popped = call('LPOP', key, most) or {}
  local at, number = #taken, #popped
  for i = 1, number do taken[at + i], visit_of[at + i], middle_of[at + i] = popped[i], visit, middle end
  if in_order and number == 1 then
    -- The next one may go when this one has ended.
    call('HSET', T .. 'ol', queue_of(tenant, middle, lane), popped[1])
    return 1, false
  end
  return number, number == most and call('EXISTS', key) == 1
end

-- Takes up to `most` ids of a tenant, from all its contexts alike: what does not divide goes to those at the head of the ring,
-- which then go to its end. Returns how many, and whether nothing is left to take.
local function take(lane, tenant, most, visit)
  local ring, got, rest = RING[lane] .. tenant, 0, 1
  while got < most and rest > 0 do
    local left = most - got
    -- One more than can be served, which tells whether these are all.
    local middles = call('LRANGE', ring, 0, left)
    local contexts = #middles
    if contexts == 0 then return got, true end
    local part, more = math.floor(left / contexts), left % contexts
    rest = contexts
    for i = 1, math.min(contexts, left) do
      local first = i <= more
      local number, stays = pop(lane, tenant, middles[i], first and part + 1 or part, visit)
      got = got + number
      if not stays then
        call('LREM', ring, 1, middles[i])
        rest = rest - 1
      elseif first and contexts > 1 then
        call('LMOVE', ring, ring, 'LEFT', 'RIGHT')
      end
    end
  end
  return got, rest == 0
end

-- Leases what a pass took. `visits` learn what it costs their tenants. Returns how many were leased.
local function lease_taken(lane, visits)
  if #taken == 0 then return 0 end
  local keys, before = {}, leased
  for i = 1, #taken do keys[i] = BODY .. taken[i] end
  local bodies, says = call('MGET', unpack(keys)), nil
  for i = 1, #taken do
    local id, visit, middle, costs = taken[i], visits[visit_of[i]], middle_of[i], nil
    local tenant = visit.tenant
    if visit_of[i] ~= visit_of[i - 1] or middle ~= middle_of[i - 1] then
      says = string.char(#tenant, #middle) .. tenant .. middle
    end
    if bodies[i] then
      visit.left = visit.left + 1
      costs = grant(id, bodies[i], lane, says)
    end
    if costs then
      visit.cost, visit.leased = visit.cost + costs, visit.leased + 1
    else
      unlock(tenant, middle, lane, id)
    end
  end
  for _, visit in ipairs(visits) do
    if visit.left > 0 then count(lane, visit.tenant, -visit.left) end
    if lane ~= 'callbacks' and visit.leased > 0 then in_flight[visit.tenant] = (in_flight[visit.tenant] or 0) + visit.leased end
  end
  return leased - before
end

-- Returns how many more leases each tenant of a page may have; nil when nobody is limited.
local function rooms(lane, tenants)
  if lane == 'callbacks' or not (any_capped or any_paused) then return nil end
  local running, own = call('HMGET', RUNNING, unpack(tenants)), call('HMGET', T .. 'cap', unpack(tenants))
  local paused, room = call('HMGET', T .. 'pt', unpack(tenants)), {}
  for i, tenant in ipairs(tenants) do
    local cap = tonumber(own[i] or known.cap)
    room[i] = math.huge
    if cap > 0 then room[i] = cap - tonumber(running[i] or 0) - (in_flight[tenant] or 0) end
    if paused[i] then room[i] = 0 end
  end
  return room
end

-- Lets the tenants of a page take, one after the other. Returns what became of each that had a turn.
local function visit_all(lane, tenants, starts, most)
  local room, visits = rooms(lane, tenants), {}
  for i, tenant in ipairs(tenants) do
    if #taken >= most or patience <= 0 then break end
    -- As long as it stays behind the next one it would be chosen again.
    local size = starts[i + 1] and math.max(known.quantum, math.floor(starts[i + 1] - starts[i]) + 1) or known.quantum
    if #tenants == 1 then size = most end
    size = math.min(size, most - #taken, room and room[i] or size)
    local got, empty = 0, false
    if size > 0 then
      got, empty = take(lane, tenant, size, i)
    else
      empty = call('EXISTS', RING[lane] .. tenant) == 0
    end
    patience = patience - math.max(got, 1)
    visits[i] = {tenant = tenant, start = starts[i], empty = empty, room = room and room[i], left = 0, cost = 0, leased = 0}
    virtual[lane] = math.max(virtual[lane], starts[i])
  end
  return visits
end

-- Puts the tenants where their turn has left them. Who has nothing any more stays as long as it is ahead of the others, so
-- that it gains nothing by coming and going; when nobody is left there is nobody to be ahead of. Returns whether nobody is.
local function put_back(lane, visits, are_all)
  make_ready()
  local stay, gone = {}, {}
  for i, visit in ipairs(visits) do
    local at = visit.start + visit.cost
    -- What was not leased after all may have let its queue back into the ring.
    if visit.empty and any_ordered() and call('EXISTS', RING[lane] .. visit.tenant) == 1 then visit.empty = false end
    -- What was taken and ended instead of being leased leaves the tenant its room.
    local full = not visit.empty and visit.room and visit.cost >= visit.room
    if full then call('ZADD', T .. 'park', at, lane .. ':' .. visit.tenant) end
    are_all = are_all and (visit.empty or full)
    if full or (visit.empty and at <= virtual[lane]) then
      gone[#gone + 1] = visit.tenant
    elseif visit.cost > 0 then
      stay[#stay + 1], stay[#stay + 2] = at % 1 == 0 and int(at) or at, visit.tenant
    end
  end
  if are_all then
    call('DEL', READY[lane])
    return true
  end
  if #stay > 0 then call('ZADD', READY[lane], unpack(stay)) end
  if #gone > 0 then call('ZREM', READY[lane], unpack(gone)) end
  return false
end

-- One pass over the tenants of a lane, the one with the least virtual time first. Returns how many actions were leased, and
-- whether the lane may have more.
local function turn(lane, most)
  local size = math.ceil(most / gave[lane])
  local page = call('ZRANGE', READY[lane], 0, size, 'WITHSCORES')
  local tenants, starts = {}, {}
  for i = 1, #page, 2 do tenants[#tenants + 1], starts[#starts + 1] = page[i], tonumber(page[i + 1]) end
  if #tenants == 0 then return 0, false end
  taken, visit_of, middle_of = {}, {}, {}
  local visits = visit_all(lane, tenants, starts, most)
  gave[lane] = math.max(1, math.floor(#taken / #visits))
  local got = lease_taken(lane, visits)
  local over = put_back(lane, visits, #visits == #tenants and #tenants <= size)
  return got, not over
end

-- Leases up to `most` actions of one lane. Returns how many, and whether the lane may have more.
local function serve(lane, most)
  local got, more = 0, true
  while got < most and patience > 0 and more do
    local leased_now
    leased_now, more = turn(lane, most - got)
    got = got + leased_now
  end
  return got, more
end

-- Returns how many lanes have work.
local function ready_lanes()
  return call('EXISTS', READY.callbacks, READY.enterprise, READY.professional, READY.advance, READY.free)
end

-- Returns the lanes that have work and may be served.
local function open_lanes(some)
  local open = {}
  if known.all_paused then return open end
  for _, lane in ipairs(LANES) do
    if some == 0 then break end
    if call('EXISTS', READY[lane]) == 1 then
      some = some - 1
      if not known.paused[lane] then open[#open + 1] = lane end
    end
  end
  return open
end

-- Shares what is wanted between the lanes, over and over until it is there or nothing is left. Returns the lanes that still
-- have work.
local function serve_all(some)
  local open = open_lanes(some)
  while leased < want and #open > 0 and patience > 0 do
    -- Callbacks weigh as much as all others that have work.
    local others, left = 0, {}
    for _, lane in ipairs(open) do others = others + (lane == 'callbacks' and 0 or weight[lane]) end
    weight.callbacks = math.max(others, 1)
    local share, free = shares(open, want - leased, pass, weight, known, carry)
    for _, lane in ipairs(open) do
      local got, more = 0, true
      if share[lane] > 0 then
        got, more = serve(lane, share[lane])
        served_of[lane] = (served_of[lane] or 0) + got
        pass[lane] = pass[lane] + math.max(0, got - (free[lane] or 0)) / weight[lane]
      end
      if more then left[#left + 1] = lane end
    end
    open = left
  end
  return open
end

-- Writes down where the lanes are left.
local function keep_lanes(open)
  local still, clock_of_lanes, served_pass = {}, nil, global
  -- The common clock of the lanes is the least pass of those that have work: who comes back after a pause starts there.
  for _, lane in ipairs(open) do
    still[lane] = true
    if not clock_of_lanes or pass[lane] < clock_of_lanes then clock_of_lanes = pass[lane] end
  end
  for lane in pairs(served_of) do served_pass = math.max(served_pass, pass[lane]) end
  local states = {math.max(global, clock_of_lanes or served_pass), carry.credit, carry.half}
  for i, lane in ipairs(LANES) do
    local at, served = 4 * i - 1, served_of[lane]
    if served then
      -- What was tried before says nothing about how long the lane's head has waited.
      if oldest[lane] or not still[lane] then head[lane] = still[lane] and oldest[lane] or 0 end
      counted['claimed:' .. lane] = served
    end
    states[at + 1], states[at + 2], states[at + 3], states[at + 4] = pass[lane], virtual[lane], head[lane], gave[lane]
  end
  call('HSET', T .. 'v', 'tok', int(token), 'lanes', struct.pack(STATES, unpack(states)))
end

local function claim(ARGV)
  now, us = clock(ARGV[1])
  -- Whoever waits for work asks now and then; most partitions have nothing most of the time.
  local ready = ready_lanes()
  if ready == 0 and call('EXISTS', T .. 'd', T .. 'lease', T .. 'o') == 0 then return {now, 0, 0} end
  want, lease_end = tonumber(ARGV[2]), now + tonumber(ARGV[3])
  lease_score = int(lease_end)
  given = {result_ttl = tonumber(ARGV[4]), keep = ARGV[5], crash_delay = tonumber(ARGV[6])}
  local changed = let_time_act(now, 100, given)
  if changed then ready = ready_lanes() end
  any_trouble = (seldom or changed) and call('EXISTS', T .. 'f', T .. 'cx') > 0
  read_rules(ARGV)
  read_lanes()
  granted, leases, leased, in_flight, patience = {}, {}, 0, {}, 4 * want + 256
  local open = serve_all(ready)
  if leased > 0 then
    call('ZADD', T .. 'lease', unpack(leases))
    add(RUNNING, in_flight)
    keep_lanes(open)
  end
  -- A token stays for the next worker while work is ready, and goes when none is.
  woken = #open > 0
  if not woken then call('DEL', T .. 'wake') end
  close()
  return {now, next_moment(leased > 0 and lease_end or nil), int(token), unpack(granted)}
end
