#!lua
-- submit: puts actions into their queues, now or later.
--
-- Key      tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), most waiting actions of a queue, a tenant and a tier
--          (0 = no limit) unless `cfg` says otherwise, then an action after the other:
--          id, body without the moment when it becomes visible, and what its flags announce:
--          ROOT: type, session, user and agent
--          SELDOM: delay (ms), how long a repetition of the id is recognised after its end (ms), how long the idempotency key is
--          remembered (ms), the key
-- Reply    now in microseconds, then an action: its position when it is new (0: it was delayed), else three values:
--          -1 (known), position, id that is known | -2 (refused), limit, what is full | -3 (not understood), 0, id
-- Holds    An action is stored at most once by id and by key, whole or not at all. Without `allow-oom`: a full server refuses
--          before the first write. Bodies are written before the ids that lead to them. What is refused leaves nothing behind;
--          callbacks are never refused.

-- The time of the run, how long records are kept, the moment as bodies have it, what is answered.
local now, us, kept, visible_now, reply
-- Most waiting actions of a queue, a tenant and a tier, and whether `cfg` may say otherwise; by tier its limit and how many
-- more it takes, looked up once a run; how many actions of a tenant wait, looked up for all tenants of the run at once.
local most, is_set, limit_of, room, holds

local function limits_of_run(ARGV)
  most = {queue = tonumber(ARGV[3]), tenant = tonumber(ARGV[4]), tier = tonumber(ARGV[5])}
  is_set = seldom and call('EXISTS', T .. 'cfg') == 1
  if is_set then
    local set = call('HMGET', T .. 'cfg', 'depth:queue', 'depth:tenant')
    most.queue = tonumber(set[1] or most.queue)
    most.tenant = tonumber(set[2] or most.tenant)
  end
  limit_of, room, holds = {}, {}, {}
end

local function takes(lane)
  if not room[lane] then
    local limit = tonumber(is_set and call('HGET', T .. 'cfg', 'depth:' .. lane) or most.tier)
    limit_of[lane] = limit
    room[lane] = limit > 0 and limit - tonumber(call('HGET', T .. 'n', lane) or 0) or math.huge
  end
  return room[lane] > 0
end

-- Reads an action that begins at ARGV[at]. Returns it, nil when it is not one of ours, and where the next one begins.
local function read(ARGV, at)
  local id, raw = ARGV[at], ARGV[at + 1]
  if #raw < FIXED - DATED then return nil, at + 2 end
  local magic, lane, tier, flags = string.byte(raw, 1, 4)
  local tenant_length, middle_length = string.byte(raw, FIXED - DATED - 1, FIXED - DATED)
  local starts = FIXED - DATED + tenant_length
  -- Beside these an action may have root, tier, keyed, key_ttl, known_as and known_at; most have none of them.
  local action = {
    id = id, lane = LANES[lane], tenant = string.sub(raw, FIXED - DATED + 1, starts),
    middle = string.sub(raw, starts + 1, starts + middle_length), ordered = false, delay = 0, dedup = 0, body = raw,
  }
  at = at + 2
  if flags ~= 0 then
    action.ordered = has(flags, ORDERED)
    if has(flags, ROOT) then
      action.root, action.tier = ARGV[at], LANES[tier]
      at = at + 1
    end
    if has(flags, SELDOM) then
      local delay, dedup, key_ttl, key = string.match(ARGV[at], '^(%d+)\31(%d+)\31(%d+)\31(.*)$')
      at = at + 1
      action.delay, action.dedup, action.key_ttl = tonumber(delay), tonumber(dedup), tonumber(key_ttl)
      if action.key_ttl > 0 then action.keyed = T .. 'ik:' .. action.tenant .. ':' .. key end
    end
  end
  local ours = magic == MAGIC and action.lane and LANES[tier] and tier > 1 and #raw >= starts + middle_length
  if not ours then return nil, at end
  action.body = (action.delay > 0 and struct.pack('>I7', us + action.delay * 1000) or visible_now) .. raw
  return action, at
end

-- Returns the id under which an action is known already, and its position, if it is.
local function known_as(action)
  local id = action.id
  if action.root then
    local position = call('HGET', T .. 't:' .. id, 'position')
    if position then return id, tonumber(position) end
  end
  if action.dedup > 0 and call('EXISTS', T .. 'dd:' .. id) == 1 then return id, 0 end
  if action.keyed then return call('GET', action.keyed) or nil, 0 end
end

-- Puts a new action where it belongs. Returns its place, or nil, what is full and its limit.
local function place(action)
  local lane, tenant = action.lane, action.tenant
  if lane ~= 'callbacks' and not takes(lane) then return nil, 'tier', limit_of[lane] end
  if action.delay > 0 then
    call('ZADD', T .. 'd', now + action.delay, action.id)
    -- Whoever waits for work learns of this moment by claiming; it may be nearer than the one that they wait for.
    woken = true
    return 0
  end
  if lane == 'callbacks' then return put(lane, tenant, action.middle, action.ordered, action.id, false) end
  if most.tenant > 0 and holds[tenant] + (tenants_counted[tenant] or 0) >= most.tenant then
    return nil, 'tenant', most.tenant
  end
  local position = put(lane, tenant, action.middle, action.ordered, action.id, false)
  if most.queue > 0 and position > most.queue then
    -- Tried first and taken back: a look at the length before every push would cost the ones that fit.
    call('RPOP', queue_key(tenant, action.middle, lane))
    count(lane, tenant, -1)
    return nil, 'queue', most.queue
  end
  room[lane] = room[lane] - 1
  return position
end

local function answer(code, number, text)
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = code, number, text
end

-- Stores an action whose body is written, or gives it up.
local function store(action)
  local position, what, limit = place(action)
  if not position then
    call('DEL', BODY .. action.id)
    return answer(-2, limit, what)
  end
  if action.dedup > 0 then call('SET', T .. 'dd:' .. action.id, '1', 'PX', action.dedup) end
  if action.keyed then call('SET', action.keyed, action.id, 'PX', action.key_ttl) end
  if action.root then record_new(action.id, action, action.root, position, now, kept) end
  reply[#reply + 1] = position
end

-- Reads all actions. Returns them, and whether the bodies of those that are new are written: in one go, unless something
-- stands in it twice, by id or by key, and has to be looked at in its turn.
local function read_all(ARGV)
  local actions, bodies, tenants, seen, one_by_one, at = {}, {}, {}, {}, false, 6
  while at <= #ARGV do
    local id, action = ARGV[at], nil
    action, at = read(ARGV, at)
    actions[#actions + 1] = action or id
    if action then
      if seen[id] or action.keyed then one_by_one = true end
      seen[id] = true
      if action.root or action.dedup > 0 then action.known_as, action.known_at = known_as(action) end
      if not action.known_as then bodies[#bodies + 1], bodies[#bodies + 2] = BODY .. id, action.body end
      if action.lane ~= 'callbacks' and not holds[action.tenant] then
        holds[action.tenant] = 0
        tenants[#tenants + 1] = action.tenant
      end
    end
  end
  if most.tenant > 0 and #tenants > 0 then
    for i, waiting in ipairs(call('HMGET', WAITING, unpack(tenants))) do holds[tenants[i]] = tonumber(waiting or 0) end
  end
  return actions, #bodies > 0 and not one_by_one and call('MSETNX', unpack(bodies)) == 1
end

local function submit(ARGV)
  now, us = clock(ARGV[1])
  kept, visible_now, reply = tonumber(ARGV[2]), struct.pack('>I7', us), {us}
  limits_of_run(ARGV)
  local actions, written = read_all(ARGV)
  for _, action in ipairs(actions) do
    if type(action) == 'string' then
      answer(-3, 0, action)
    else
      local id, position = action.known_as, action.known_at
      if not id and not written then
        id, position = known_as(action)
        if not id and not call('SET', BODY .. action.id, action.body, 'NX') then id, position = action.id, 0 end
      end
      if id then
        answer(-1, position, id)
      else
        store(action)
      end
    end
  end
  close(most.tenant > 0 and holds)
  return reply
end
