#!lua
-- submit: puts actions into their queues, now or later.
--
-- KEYS[1]  tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), most waiting actions of a queue, a tenant and a tier
--          (0 = no limit) unless `cfg` says otherwise, then 4 values an action:
--          id, body without the moment when it becomes visible, type and session of a root action (empty = no record),
--          and what is seldom given (empty = nothing): delay (ms), how long a repetition of the id is recognised after its end
--          (ms), how long the idempotency key is remembered (ms), the key
-- Reply    now in microseconds, then an action: 1 = new | 0 = known | 2 = refused | 3 = not understood,
--          position | limit, id that is known | what is full
-- Holds    An action is stored at most once by id and by key, whole or not at all. Without `allow-oom`: a full server refuses
--          before the first write. The body is written before the id that leads to it. What is refused leaves nothing behind;
--          callbacks are never refused.

local now, us = clock(ARGV[1])
local kept = tonumber(ARGV[2])
local most = {queue = tonumber(ARGV[3]), tenant = tonumber(ARGV[4])}
local set = call('HMGET', T .. 'cfg', 'depth:queue', 'depth:tenant')
most.queue = tonumber(set[1] or most.queue)
most.tenant = tonumber(set[2] or most.tenant)

-- How many more a tier takes; looked up once a run.
local room = {}
local function takes(lane)
  if room[lane] == nil then
    local limit = tonumber(call('HGET', T .. 'cfg', 'depth:' .. lane) or ARGV[5])
    room[lane] = {limit = limit, left = limit - tonumber(call('HGET', T .. 'n', lane) or 0)}
    if limit == 0 then room[lane].left = math.huge end
  end
  return room[lane].left > 0
end

-- Puts a new action where it belongs. Returns its place, or what is full.
local function place(id, entry, delay)
  local lane, tenant = entry.lane, entry.tenant
  if delay > 0 then
    call('ZADD', T .. 'd', now + delay, id)
    -- Whoever waits for work learns of this moment by claiming; it may be nearer than the one that they wait for.
    woken = true
    return 0
  end
  if lane == 'callbacks' then return push(entry, id, false) end
  local holds = call('HINCRBY', WAITING, tenant, 1)
  if most.tenant > 0 and holds > most.tenant then
    call('HINCRBY', WAITING, tenant, -1)
    return nil, 'tenant', most.tenant
  end
  local position = push(entry, id, false)
  -- The tenant is counted already.
  tenants_counted[tenant] = nil
  if most.queue > 0 and position > most.queue then
    -- Tried first and taken back: a look at the length before every push would cost the ones that fit.
    call('RPOP', queue_key(tenant, entry.middle, lane))
    call('HINCRBY', WAITING, tenant, -1)
    counted[lane] = counted[lane] - 1
    return nil, 'queue', most.queue
  end
  room[lane].left = room[lane].left - 1
  return position
end

local function submit(id, body, root, seldom)
  local delay, dedup, key_ttl, key = 0, 0, 0, nil
  if seldom ~= '' then
    delay, dedup, key_ttl, key = string.match(seldom, '^(%d+)\31(%d+)\31(%d+)\31(.*)$')
    delay, dedup, key_ttl = tonumber(delay), tonumber(dedup), tonumber(key_ttl)
  end
  if root ~= '' then
    local position = call('HGET', T .. 't:' .. id, 'position')
    if position then return 0, tonumber(position), id end
  end
  body = string.sub(body, 1, 6) .. struct.pack('>I7', us + delay * 1000) .. string.sub(body, 7)
  local entry = parse(body)
  if not entry then return 3, 0, id end
  if dedup > 0 and call('EXISTS', T .. 'dd:' .. id) == 1 then return 0, 0, id end
  local keyed = key_ttl > 0 and T .. 'ik:' .. entry.tenant .. ':' .. key
  if keyed then
    local known = call('GET', keyed)
    if known then return 0, 0, known end
  end
  if not call('SET', BODY .. id, body, 'NX') then return 0, 0, id end
  local position, what, limit = nil, 'tier', 0
  if entry.lane == 'callbacks' or takes(entry.lane) then
    position, what, limit = place(id, entry, delay)
  else
    limit = room[entry.lane].limit
  end
  if not position then
    call('DEL', BODY .. id)
    return 2, limit, what
  end
  if dedup > 0 then call('SET', T .. 'dd:' .. id, '1', 'PX', dedup) end
  if keyed then call('SET', keyed, id, 'PX', key_ttl) end
  if root ~= '' then record_new(id, entry, root, position, now, kept) end
  return 1, position, ''
end

local reply = {us}
for i = 6, #ARGV, 4 do
  local code, position, text = submit(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  reply[#reply + 1] = code
  reply[#reply + 1] = position
  reply[#reply + 1] = text
end
close()
return reply
