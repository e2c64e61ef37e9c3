#!lua
-- check: finds what contradicts the invariants of a partition.
--
-- Key      tag of the partition
-- ARGV     most violations to tell of
-- Reply    texts `rule: subject`, none when all holds
-- Holds    Nothing is changed. It reads every key once, atomically, so it is for tests and tools, not for requests.

local function check(ARGV)
  local most = tonumber(ARGV[1])
  local found = {}
  local function violated(rule, subject)
    if #found < most then found[#found + 1] = rule .. ': ' .. subject end
  end

  local seen = survey()

  -- Queues, rings, ready sets, parked tenants.
  for queue, at in pairs(seen.queues) do
    local times, holder = 0, call('HGET', T .. 'ol', queue)
    for _, member in ipairs(call('LRANGE', RING[at.lane] .. at.tenant, 0, -1)) do
      if member == at.middle then times = times + 1 end
    end
    if holder and holder ~= '' then
      if times ~= 0 then violated('a queue whose action runs is not in its ring', queue) end
    elseif times ~= 1 then
      violated('a non-empty queue stands once in its ring', queue .. ' stands ' .. times .. ' times')
    end
  end
  for ring in pairs(seen.rings) do
    local lane, tenant = string.match(ring, '^([^:]+):(.+)$')
    local ready = call('ZSCORE', READY[lane], tenant) and 1 or 0
    local parked = call('ZSCORE', T .. 'park', ring) and 1 or 0
    if ready + parked ~= 1 then violated('a tenant with a ring is ready or parked', ring) end
    for _, middle in ipairs(call('LRANGE', T .. 'x:' .. ring, 0, -1)) do
      local queue = queue_of(tenant, middle, lane)
      if not seen.queues[queue] then violated('a ring holds only non-empty queues', queue) end
    end
  end
  for _, lane in ipairs(LANES) do
    local ready = call('ZRANGE', READY[lane], 0, -1, 'WITHSCORES')
    local virtual = virtual_of(states_of(call('HGET', T .. 'v', 'lanes')), lane)
    for i = 1, #ready, 2 do
      if not seen.rings[lane .. ':' .. ready[i]] and tonumber(ready[i + 1]) < virtual then
        violated('a ready tenant has a ring or is ahead', lane .. ':' .. ready[i])
      end
    end
    local counted_as = tonumber(call('HGET', T .. 'n', lane) or 0)
    local is = seen.waiting[lane] or 0
    if counted_as ~= is then violated('the number of waiting actions is right', lane .. ' says ' .. counted_as .. ', is ' .. is) end
  end
  for _, member in ipairs(call('ZRANGE', T .. 'park', 0, -1)) do
    if not seen.rings[member] then violated('a parked tenant has a ring', member) end
  end

  -- Queues whose actions run one at a time.
  local ordered = call('HGETALL', T .. 'ol')
  for i = 1, #ordered, 2 do
    local queue, holder = ordered[i], ordered[i + 1]
    if holder == '' then
      if not seen.queues[queue] then violated('an empty queue forgets its order', queue) end
    elseif seen.places[holder] ~= 'lease' and seen.places[holder] ~= 'delayed' then
      violated('what holds a queue back runs or is retried', queue .. ' ' .. holder)
    end
  end

  -- Numbers of tenants.
  local function same(hash, rule, is)
    local numbers = call('HGETALL', T .. hash)
    for i = 1, #numbers, 2 do
      local tenant = numbers[i]
      if tonumber(numbers[i + 1]) ~= (is[tenant] or 0) then
        violated(rule, tenant .. ' says ' .. numbers[i + 1] .. ', is ' .. (is[tenant] or 0))
      end
      is[tenant] = nil
    end
    for tenant, number in pairs(is) do violated(rule, tenant .. ' says 0, is ' .. number) end
  end
  same('inf', 'the leases of a tenant are counted', seen.held)
  same('w', 'the waiting actions of a tenant are counted', seen.depth)

  -- Every live action lies in one place, and its record says the same.
  for id in pairs(seen.bodies) do
    local place = seen.places[id] or 'nowhere'
    if place ~= 'queue' and place ~= 'delayed' and place ~= 'lease' then violated('a live action lies in one place', id .. ' ' .. place) end
    local entry = head_of(id)
    if entry and entry.root then
      local status = call('HGET', T .. 't:' .. id, 'status')
      local should = place == 'lease' and 'running' or 'pending'
      if status ~= should then violated('a record tells where its action is', id .. ' says ' .. tostring(status) .. ', is ' .. should) end
    end
  end
  for id, place in pairs(seen.places) do
    if not seen.bodies[id] then violated('what waits or runs has a body', id .. ' in ' .. place) end
  end
  for task in pairs(names('t')) do
    local status = call('HGET', T .. 't:' .. task, 'status')
    if (status == 'pending' or status == 'running') and not seen.bodies[task] then violated('an unfinished task has an action', task) end
    if status ~= 'pending' and status ~= 'running' and call('PTTL', T .. 't:' .. task) < 0 then
      violated('the record of a finished task expires', task)
    end
  end
  for _, key in ipairs({'f', 'cx'}) do
    for _, id in ipairs(call('HKEYS', T .. key)) do
      if not seen.bodies[id] then violated('nothing is remembered of ended actions', key .. ' ' .. id) end
    end
  end
  if call('ZCARD', T .. 'o') ~= call('HLEN', T .. 'ob') then violated('the outbox is whole', 'o and ob differ') end
  return found
end
