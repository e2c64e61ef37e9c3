#!lua flags=allow-oom
-- repair: makes a partition agree with its invariants again.
--
-- Key      tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms)
-- Reply    1
-- Holds    No action is ended and none is leased: what lies nowhere waits again, what lies in two places stays where it is
--          furthest. Rings, ready sets, parked tenants and numbers follow from queues, leases and bodies alone.

local function repair(ARGV)
  local now = clock(ARGV[1])
  local kept = tonumber(ARGV[2])
  local seen = survey()

  -- Every live action lies in one place: a lease counts before a delay, a delay before a queue.
  for id, place in pairs(seen.places) do
    local leased, delayed = string.find(place, 'lease', 1, true), string.find(place, 'delayed', 1, true)
    if not seen.bodies[id] then
      call('ZREM', T .. 'd', id)
    elseif leased and delayed then
      call('ZREM', T .. 'd', id)
    end
    if seen.bodies[id] and string.find(place, 'queue', 1, true) and place ~= 'queue' then
      local entry = head_of(id)
      if leased or delayed then
        if entry then call('LREM', T .. 'q:' .. queue_of(entry.tenant, entry.middle, entry.lane), 0, id) end
      elseif entry then
        local key = T .. 'q:' .. queue_of(entry.tenant, entry.middle, entry.lane)
        call('LREM', key, 0, id)
        call('LPUSH', key, id)
      end
    end
  end
  for _, member in ipairs(call('ZRANGE', T .. 'lease', 0, -1)) do
    local id = string.match(member, '^(.+):%d+$')
    if not id or not seen.bodies[id] then call('ZREM', T .. 'lease', member) end
  end
  for id in pairs(seen.bodies) do
    local entry = head_of(id)
    if entry and not seen.places[id] then call('LPUSH', T .. 'q:' .. queue_of(entry.tenant, entry.middle, entry.lane), id) end
    if entry and entry.root then
      local leased = seen.places[id] and string.find(seen.places[id], 'lease', 1, true)
      record(id, '', 'status', leased and 'running' or 'pending')
      call('PERSIST', T .. 't:' .. id)
    end
  end

  -- What follows from that.
  local places = survey().places
  local ordered = call('HGETALL', T .. 'ol')
  for i = 1, #ordered, 2 do
    local queue, holder = ordered[i], ordered[i + 1]
    if holder ~= '' and places[holder] ~= 'lease' and places[holder] ~= 'delayed' then call('HSET', T .. 'ol', queue, '') end
    if call('HGET', T .. 'ol', queue) == '' and call('EXISTS', T .. 'q:' .. queue) == 0 then call('HDEL', T .. 'ol', queue) end
  end
  local scores = {}
  for _, lane in ipairs(LANES) do
    local ready = call('ZRANGE', READY[lane], 0, -1, 'WITHSCORES')
    for i = 1, #ready, 2 do scores[lane .. ':' .. ready[i]] = ready[i + 1] end
    call('DEL', READY[lane])
  end
  local parked = call('ZRANGE', T .. 'park', 0, -1, 'WITHSCORES')
  for i = 1, #parked, 2 do scores[parked[i]] = parked[i + 1] end
  -- Contexts keep their turns.
  local turns = {}
  for ring in pairs(seen.rings) do
    turns[ring] = call('LRANGE', T .. 'x:' .. ring, 0, -1)
    call('DEL', T .. 'x:' .. ring)
  end
  call('DEL', T .. 'park')
  seen = survey()
  local entered = {}
  local function enter_once(queue)
    local at, holder = seen.queues[queue], call('HGET', T .. 'ol', queue)
    if not at or entered[queue] or (holder and holder ~= '') then return end
    entered[queue] = true
    local ring = at.lane .. ':' .. at.tenant
    call('RPUSH', T .. 'x:' .. ring, at.middle)
    local score = scores[ring] or virtual_of(states_of(call('HGET', T .. 'v', 'lanes')), at.lane)
    call('ZADD', READY[at.lane], score, at.tenant)
  end
  for ring, middles in pairs(turns) do
    local lane, tenant = string.match(ring, '^([^:]+):(.+)$')
    for _, middle in ipairs(middles) do enter_once(queue_of(tenant, middle, lane)) end
  end
  for queue in pairs(seen.queues) do enter_once(queue) end
  for _, lane in ipairs(LANES) do call('HSET', T .. 'n', lane, seen.waiting[lane] or 0) end
  call('DEL', WAITING, RUNNING)
  for tenant, number in pairs(seen.depth) do call('HSET', WAITING, tenant, number) end
  for tenant, number in pairs(seen.held) do call('HSET', RUNNING, tenant, number) end

  -- Leftovers of what has ended.
  for _, key in ipairs({'f', 'cx'}) do
    for _, id in ipairs(call('HKEYS', T .. key)) do
      if not seen.bodies[id] then call('HDEL', T .. key, id) end
    end
  end
  for task in pairs(names('t')) do
    local status = call('HGET', T .. 't:' .. task, 'status')
    if (status == 'pending' or status == 'running') and not seen.bodies[task] then
      record(task, event('lost', 0), 'status', 'failed', 'why', 'lost', 'finished_at', int(now))
      call('PEXPIRE', T .. 't:' .. task, kept)
    elseif status ~= 'pending' and status ~= 'running' and call('PTTL', T .. 't:' .. task) < 0 then
      call('PEXPIRE', T .. 't:' .. task, kept)
    end
  end
  for _, id in ipairs(call('ZRANGE', T .. 'o', 0, -1)) do
    if call('HEXISTS', T .. 'ob', id) == 0 then call('ZREM', T .. 'o', id) end
  end
  for _, id in ipairs(call('HKEYS', T .. 'ob')) do call('ZADD', T .. 'o', 'NX', now - SWEEP_AGE, id) end
  woken = true
  close()
  return 1
end
