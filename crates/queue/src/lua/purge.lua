#!lua flags=allow-oom
-- purge: ends waiting and delayed actions as cancelled.
--
-- Key      tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), dead letters kept, most actions a run, reason,
--          lane (empty = all tiers), tenant (empty = all), middle (empty = all), where to go on among the delayed (a cursor)
-- Reply    actions ended, 1 = there may be more that wait, cursor among the delayed (0 = all were seen)
-- Holds    Every action that is ended has its record and its outcome as if its caller had cancelled it. Running actions and
--          callbacks are left alone.

local function purge(ARGV)
  local now = clock(ARGV[1])
  local ending = {result_ttl = tonumber(ARGV[2]), keep = ARGV[3], reason = ARGV[5]}
  local budget, only_lane, only_tenant, only_middle = tonumber(ARGV[4]), ARGV[6], ARGV[7], ARGV[8]
  -- Also who is struck out because nothing is left of them makes room for those behind them.
  local ended, progressed = 0, false

  local function empty_queue(lane, tenant, middle)
    local key = queue_key(tenant, middle, lane)
    while budget > 0 do
      local id = call('LPOP', key)
      if not id then break end
      budget = budget - 1
      local entry = head_of(id)
      if entry then
        count(lane, tenant, -1)
        finish(id, entry, 'cancelled', now, ending)
        ended = ended + 1
      elseif call('EXISTS', BODY .. id) == 1 then
        count(lane, tenant, -1)
        bury_malformed(id, call('GET', BODY .. id), now, ending)
      end
    end
    if call('EXISTS', key) == 0 then
      call('LREM', RING[lane] .. tenant, 0, middle)
      leave(tenant, middle, lane)
    end
  end

  local function empty_tenant(lane, tenant)
    local ring = RING[lane] .. tenant
    local middles = only_middle ~= '' and {only_middle} or call('LRANGE', ring, 0, 999)
    for _, middle in ipairs(middles) do
      if budget > 0 then empty_queue(lane, tenant, middle) end
    end
    if call('EXISTS', ring) == 0 then
      local struck = call('ZREM', READY[lane], tenant) + call('ZREM', T .. 'park', lane .. ':' .. tenant)
      progressed = progressed or struck > 0
    end
  end

  local function waiting_tenants(lane)
    if only_tenant ~= '' then return {only_tenant} end
    local tenants = call('ZRANGE', READY[lane], 0, 99)
    -- Parked tenants of all lanes lie in one set: a page of it may hold none of this one.
    for _, member in ipairs(call('ZRANGE', T .. 'park', 0, -1)) do
      local of, tenant = string.match(member, '^([^:]+):(.+)$')
      if of == lane and #tenants < 200 then tenants[#tenants + 1] = tenant end
    end
    return tenants
  end

  for i = 2, #LANES do
    if only_lane == '' or only_lane == LANES[i] then
      for _, tenant in ipairs(waiting_tenants(LANES[i])) do
        if budget > 0 then empty_tenant(LANES[i], tenant) end
      end
    end
  end
  -- Behind an action that runs alone its queue waits outside of the ring.
  local ordered = any_ordered() and call('HGETALL', T .. 'ol') or {}
  for i = 1, #ordered, 2 do
    local tenant, middle, lane = string.match(ordered[i], '^([^:]+):[^:]+:([^:]+):([^:]+)$')
    if ordered[i + 1] ~= '' and budget > 0 and lane ~= 'callbacks' and (only_lane == '' or only_lane == lane)
      and (only_tenant == '' or only_tenant == tenant) and (only_middle == '' or only_middle == middle) then
      empty_queue(lane, tenant, middle)
    end
  end
  local more = (ended > 0 or progressed or budget <= 0) and 1 or 0

  local cursor = ARGV[9]
  if cursor ~= '' then
    local page = call('ZSCAN', T .. 'd', cursor, 'COUNT', 500)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      local id = page[2][i]
      local entry = head_of(id)
      if entry and entry.lane ~= 'callbacks' and (only_lane == '' or entry.lane == only_lane)
        and (only_tenant == '' or entry.tenant == only_tenant) and (only_middle == '' or entry.middle == only_middle) then
        call('ZREM', T .. 'd', id)
        finish(id, entry, 'cancelled', now, ending)
        ended = ended + 1
      end
    end
  end
  close()
  return {ended, more, cursor}
end
