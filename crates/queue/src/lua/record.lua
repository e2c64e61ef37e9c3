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

-- What only some tasks have: the session is a field of every record, the others of those that have them.
local function some(fields, name, value)
  if value and value ~= '' then fields[#fields + 1], fields[#fields + 2] = name, value end
end

-- Makes the record of a task. `root` is the type of its action, the session, the user and the agent.
local function record_new(id, entry, root, position, now, kept)
  local kind, session, user, agent = string.match(root, '^([^\31]*)\31([^\31]*)\31?([^\31]*)\31?([^\31]*)$')
  local whose = {}
  some(whose, 'user', user)
  some(whose, 'agent', agent)
  call('HSET', T .. 't:' .. id, 'type', kind or '', 'tenant', entry.tenant, 'tier', entry.tier, 'session', session or '',
    'context', entry.middle, 'queue', queue_name(entry.middle, entry.lane), 'position', position, 'status', 'pending',
    'attempts', 0, 'created_at', int(now), 'events', event('queued', 0), unpack(whose))
  local index = T .. 'ti:' .. entry.tenant
  call('ZADD', index, int(stamp), id)
  call('ZREMRANGEBYSCORE', index, '-inf', int(stamp - 2000 * kept))
  call('PEXPIRE', index, 2 * kept)
end
