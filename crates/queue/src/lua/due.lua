-- due.lua: what time itself does to actions.

-- Makes delayed actions visible whose time has come. One that was tried before goes to the head of its queue: it is older
-- than what waits there. One that was submitted for later takes its place at the end.
local function promote(now, limit, given)
  local due = call('ZRANGEBYSCORE', T .. 'd', '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local entry = head_of(id)
    if entry then
      local _, _, _, first = recall(id)
      push(entry, id, first ~= nil)
    else
      bury_if_malformed(id, now, given)
    end
  end
  if #due > 0 then call('ZREM', T .. 'd', unpack(due)) end
end

-- Takes back one lease that ran out. A first crash goes back to the head at once; later ones wait a little; too many end it.
local function take_back(member, now, given)
  call('ZREM', T .. 'lease', member)
  local id, token = string.match(member, '^(.+):(%d+)$')
  local entry = id and head_of(id)
  if not entry then return id and bury_if_malformed(id, now, given) end
  if entry.lane ~= 'callbacks' then return_leases({[entry.tenant] = -1}) end
  local failures, crashes, deadline, first = recall(id)
  deadline, first = limits(entry, token, deadline, first)
  crashes = crashes + 1
  remember(id, failures, crashes, deadline, first)
  local flagged = call('HGET', T .. 'cx', id)
  local ending = {result_ttl = given.result_ttl, keep = given.keep, reason = flagged or ''}
  if flagged then return finish(id, entry, 'cancelled', now, ending) end
  if deadline > 0 and now >= deadline then return finish(id, entry, 'overdue', now, ending) end
  if crashes >= entry.crashes then return finish(id, entry, 'poison', now, ending) end
  if entry.root then record(id, event('lost', failures + crashes), 'status', 'pending', 'stage', 'lost') end
  if crashes == 1 then
    push(entry, id, true)
  else
    call('ZADD', T .. 'd', now + given.crash_delay * 2 ^ (crashes - 2), id)
  end
end

-- Returns the least score of a set, or nil.
local function least(key)
  local first = call('ZRANGE', T .. key, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2])
end

-- The next moments of delayed actions and leases; false when there are none. Known as long as nothing of them has changed.
local next_delayed, next_lease

-- Lets time act, a bounded number of times for each kind. Returns whether anything was due.
local function let_time_act(now, limit, given)
  next_delayed, next_lease = least('d') or false, least('lease') or false
  local delayed, lease = next_delayed and next_delayed <= now, next_lease and next_lease <= now
  if delayed then promote(now, limit, given) end
  if lease then
    for _, member in ipairs(call('ZRANGEBYSCORE', T .. 'lease', '-inf', now, 'LIMIT', 0, limit)) do take_back(member, now, given) end
  end
  if delayed or lease then
    make_ready()
    next_delayed, next_lease = nil, nil
  end
  return delayed or lease
end

-- Returns the next moment at which time will do something, 0 when it will not. Leases that were granted since end at
-- `lease_end`, or none were.
local function next_moment(lease_end)
  if next_delayed == nil then next_delayed = least('d') or false end
  if next_lease == nil then next_lease = least('lease') or false end
  local lease, outcome = math.min(next_lease or math.huge, lease_end or math.huge), least('o') or math.huge
  local next = math.min(next_delayed or math.huge, lease, outcome + SWEEP_AGE)
  return next < math.huge and next or 0
end
