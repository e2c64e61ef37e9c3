-- survey.lua: looks at a whole partition.

-- Returns what stands behind `kind` in the names of keys.
local function names(kind)
  local all, cursor = {}, '0'
  repeat
    local page = call('SCAN', cursor, 'MATCH', T .. kind .. ':*', 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do all[string.sub(key, #T + #kind + 2)] = true end
  until cursor == '0'
  return all
end

-- Returns what there is:
--   queues   name -> {lane, tenant, middle}; rings: `lane:tenant`; bodies: ids
--   places   id -> queue, lease, delayed, or several of them
--   waiting  number of waiting actions by lane; depth: by tenant; held: leases by tenant
local function survey()
  local seen = {queues = {}, rings = names('x'), bodies = names('b'), places = {}, waiting = {}, depth = {}, held = {}}
  local function lies(id, place)
    seen.places[id] = seen.places[id] and (seen.places[id] .. ' and ' .. place) or place
  end
  for queue in pairs(names('q')) do
    local tenant, _, middle, lane = string.match(queue, '^([^:]+):([^:]+):([^:]+):([^:]+)$')
    seen.queues[queue] = {tenant = tenant, middle = middle, lane = lane}
    for _, id in ipairs(call('LRANGE', T .. 'q:' .. queue, 0, -1)) do
      if seen.bodies[id] then
        lies(id, 'queue')
        seen.waiting[lane] = (seen.waiting[lane] or 0) + 1
        if lane ~= 'callbacks' then seen.depth[tenant] = (seen.depth[tenant] or 0) + 1 end
      end
    end
  end
  for _, member in ipairs(call('ZRANGE', T .. 'lease', 0, -1)) do
    local id = string.match(member, '^(.+):%d+$')
    lies(id, 'lease')
    local entry = head_of(id)
    if entry and entry.lane ~= 'callbacks' then seen.held[entry.tenant] = (seen.held[entry.tenant] or 0) + 1 end
  end
  for _, id in ipairs(call('ZRANGE', T .. 'd', 0, -1)) do lies(id, 'delayed') end
  return seen
end
