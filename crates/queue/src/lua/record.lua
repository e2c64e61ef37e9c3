-- record.lua: the record of a task.

local function event(name, attempt)
  return table.concat({name, int(stamp), DOMAIN, int(attempt)}, US) .. RS
end

-- Changes the record of a task, if it is still there, and adds to its timeline.
local function record(id, events, ...)
  local known = call('HGET', T .. 't:' .. id, 'events')
  if not known then return nil end
  events = known .. events
  call('HSET', T .. 't:' .. id, 'events', events, ...)
  return events
end

-- Makes the record of a task. `root` is the type of its action and the session.
local function record_new(id, entry, root, position, now, kept)
  local kind, session = string.match(root, '^([^\31]*)\31(.*)$')
  call('HSET', T .. 't:' .. id, 'type', kind or '', 'tenant', entry.tenant, 'tier', entry.tier, 'session', session or '',
    'context', entry.middle, 'queue', queue_name(entry.middle, entry.lane), 'position', position, 'status', 'pending',
    'attempts', 0, 'created_at', int(now), 'events', event('queued', 0))
  local index = T .. 'ti:' .. entry.tenant
  call('ZADD', index, int(stamp), id)
  call('ZREMRANGEBYSCORE', index, '-inf', int(stamp - 2000 * kept))
  call('PEXPIRE', index, 2 * kept)
end
