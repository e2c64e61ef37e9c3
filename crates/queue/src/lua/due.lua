-- due.lua: what time itself does to actions. Stands behind entry.lua in the scripts that let time act: claim and tick.

-- Makes delayed actions visible whose time has come, at the head of their queues: they are older than what waits there.
local function promote(now, limit)
  local due = redis.call('ZRANGEBYSCORE', T .. 'd', '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local entry = head_of(id)
    if entry then push(entry, id, true) end
  end
  if #due > 0 then redis.call('ZREM', T .. 'd', unpack(due)) end
  return #due
end

-- Takes back what lies in leases that ran out. A first crash goes back to the head at once; later ones wait a little; too
-- many end it.
local function reap(now, limit, given)
  local lost = redis.call('ZRANGEBYSCORE', T .. 'lease', '-inf', now, 'LIMIT', 0, limit)
  for _, member in ipairs(lost) do
    redis.call('ZREM', T .. 'lease', member)
    local id, token = string.match(member, '^(.+):(%d+)$')
    local entry = id and head_of(id)
    if entry then
      return_lease(entry.tenant)
      local failures, crashes, deadline, first = recall(id)
      deadline, first = limits(entry, token, deadline, first)
      crashes = crashes + 1
      remember(id, failures, crashes, deadline, first)
      local flagged = redis.call('HGET', T .. 'cx', id)
      local ending = {result_ttl = given.result_ttl, keep = given.keep, reason = flagged or ''}
      if flagged then
        finish(id, entry, 'cancelled', now, ending)
      elseif deadline > 0 and now >= deadline then
        finish(id, entry, 'overdue', now, ending)
      elseif crashes >= entry.crashes then
        finish(id, entry, 'poison', now, ending)
      else
        if entry.root then
          record(id, event('lost', failures + crashes), 'status', 'pending', 'stage', 'lost')
        end
        if crashes == 1 then
          push(entry, id, true)
        else
          redis.call('ZADD', T .. 'd', now + given.crash_delay * 2 ^ (crashes - 2), id)
        end
      end
    end
  end
  return #lost
end

-- Returns the next moment at which time will do something, 0 when it will not.
local function next_moment()
  local next = 0
  local function consider(key, later)
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if first[2] then
      local at = tonumber(first[2]) + later
      if next == 0 or at < next then next = at end
    end
  end
  consider(T .. 'd', 0)
  consider(T .. 'lease', 0)
  consider(T .. 'o', SWEEP_AGE)
  return next
end
