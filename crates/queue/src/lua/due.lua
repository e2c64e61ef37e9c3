-- due.lua: what time itself does to actions. Stands behind entry.lua in the scripts that let time act: claim and tick.

-- Makes delayed actions visible whose time has come. One that was tried before goes to the head of its queue: it is older than
-- what waits there. One that was submitted for later takes its place at the end.
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
  return_leases(entry.tenant, entry.lane, 1)
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

local function reap(now, limit, given)
  for _, member in ipairs(call('ZRANGEBYSCORE', T .. 'lease', '-inf', now, 'LIMIT', 0, limit)) do
    take_back(member, now, given)
  end
end

-- Returns the least score of a set, or nil.
local function least(key)
  local first = call('ZRANGE', T .. key, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2])
end

-- Lets time act, a bounded number of times for each kind.
local function let_time_act(now, limit, given)
  local delayed = least('d')
  if delayed and delayed <= now then promote(now, limit, given) end
  local lease = least('lease')
  if lease and lease <= now then reap(now, limit, given) end
end

-- Returns the next moment at which time will do something, 0 when it will not.
local function next_moment()
  local delayed, lease, outcome = least('d') or math.huge, least('lease') or math.huge, least('o') or math.huge
  local next = math.min(delayed, lease, outcome + SWEEP_AGE)
  return next < math.huge and next or 0
end
