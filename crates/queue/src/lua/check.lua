#!lua
-- check: finds what contradicts the invariants of a partition.
--
-- KEYS[1]  tag of the partition
-- Reply    texts `rule: subject`, none when all holds
-- Holds    Nothing is changed. It reads every key once, atomically, so it is for tests and tools, not for requests.

local T = KEYS[1]
local found = {}
local function violated(rule, subject) found[#found + 1] = rule .. ': ' .. subject end

local function names(kind)
  local all, cursor = {}, '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', T .. kind .. ':*', 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do all[string.sub(key, #T + #kind + 2)] = true end
  until cursor == '0'
  return all
end

local where = {}
local function lies(id, place)
  where[id] = where[id] and (where[id] .. ' and ' .. place) or place
end

local function header(id)
  local head = redis.call('GETRANGE', T .. 'b:' .. id, 0, 767)
  local _, _, _, tier, tenant, middle, lane = string.match(head,
    '^(%d+)\31(%d+)\31(%d+)\31(%a+)\31([^\31]+)\31([^\31]+)\31(%a+)\31')
  local flags = string.match(head, '\31(%a*)\30')
  return tenant, flags
end

-- Queues, rings, ready sets.
local live_by_lane, rings = {}, names('x')
for queue in pairs(names('q')) do
  local tenant, _, middle, lane = string.match(queue, '^([^:]+):([^:]+):([^:]+):([^:]+)$')
  local times = 0
  for _, member in ipairs(redis.call('LRANGE', T .. 'x:' .. lane .. ':' .. tenant, 0, -1)) do
    if member == middle then times = times + 1 end
  end
  if times ~= 1 then violated('a non-empty queue stands once in its ring', queue .. ' stands ' .. times .. ' times') end
  for _, id in ipairs(redis.call('LRANGE', T .. 'q:' .. queue, 0, -1)) do
    if redis.call('EXISTS', T .. 'b:' .. id) == 1 then
      lies(id, 'queue')
      live_by_lane[lane] = (live_by_lane[lane] or 0) + 1
    end
  end
end
local domain = string.match(T, '^{nq:([^:}]+)')
for ring in pairs(rings) do
  local lane, tenant = string.match(ring, '^([^:]+):(.+)$')
  if not redis.call('ZSCORE', T .. 'r:' .. lane, tenant) then violated('a tenant with a ring is ready', ring) end
  for _, middle in ipairs(redis.call('LRANGE', T .. 'x:' .. ring, 0, -1)) do
    local queue = tenant .. ':' .. domain .. ':' .. middle .. ':' .. lane
    if redis.call('EXISTS', T .. 'q:' .. queue) == 0 then violated('a ring holds only non-empty queues', queue) end
  end
end
for _, lane in ipairs({'callbacks', 'enterprise', 'professional', 'advance', 'free'}) do
  for _, tenant in ipairs(redis.call('ZRANGE', T .. 'r:' .. lane, 0, -1)) do
    if not rings[lane .. ':' .. tenant] then violated('a ready tenant has a ring', lane .. ':' .. tenant) end
  end
  local counted = tonumber(redis.call('HGET', T .. 'n', lane) or 0)
  if counted ~= (live_by_lane[lane] or 0) then
    violated('the number of waiting actions is right', lane .. ' says ' .. counted .. ', is ' .. (live_by_lane[lane] or 0))
  end
end

-- Leases and numbers of tenants.
local held = {}
for _, member in ipairs(redis.call('ZRANGE', T .. 'lease', 0, -1)) do
  local id = string.match(member, '^(.+):%d+$')
  lies(id, 'lease')
  local tenant = header(id)
  if tenant then held[tenant] = (held[tenant] or 0) + 1 end
end
local numbers = redis.call('HGETALL', T .. 'inf')
for i = 1, #numbers, 2 do
  if tonumber(numbers[i + 1]) ~= held[numbers[i]] then
    violated('the leases of a tenant are counted', numbers[i] .. ' says ' .. numbers[i + 1] .. ', is ' .. (held[numbers[i]] or 0))
  end
  held[numbers[i]] = nil
end
for tenant, is in pairs(held) do violated('the leases of a tenant are counted', tenant .. ' says 0, is ' .. is) end

-- Every live action lies in one place, and its record says the same.
for _, id in ipairs(redis.call('ZRANGE', T .. 'd', 0, -1)) do lies(id, 'delayed') end
local bodies = names('b')
for id in pairs(bodies) do
  local place = where[id] or 'nowhere'
  if place ~= 'queue' and place ~= 'delayed' and place ~= 'lease' then violated('a live action lies in one place', id .. ' ' .. place) end
  local _, flags = header(id)
  if flags and string.find(flags, 'r', 1, true) then
    local status = redis.call('HGET', T .. 't:' .. id, 'status')
    local should = place == 'lease' and 'running' or 'pending'
    if status ~= should then violated('a record tells where its action is', id .. ' says ' .. tostring(status) .. ', is ' .. should) end
  end
end
for id, place in pairs(where) do
  if not bodies[id] then violated('what waits or runs has a body', id .. ' in ' .. place) end
end
for task in pairs(names('t')) do
  local status = redis.call('HGET', T .. 't:' .. task, 'status')
  if (status == 'pending' or status == 'running') and not bodies[task] then violated('an unfinished task has an action', task) end
  if status ~= 'pending' and status ~= 'running' and redis.call('PTTL', T .. 't:' .. task) < 0 then
    violated('the record of a finished task expires', task)
  end
end
for _, key in ipairs({'f', 'cx'}) do
  for _, id in ipairs(redis.call('HKEYS', T .. key)) do
    if not bodies[id] then violated('nothing is remembered of ended actions', key .. ' ' .. id) end
  end
end
if redis.call('ZCARD', T .. 'o') ~= redis.call('HLEN', T .. 'ob') then violated('the outbox is whole', 'o and ob differ') end
return found
