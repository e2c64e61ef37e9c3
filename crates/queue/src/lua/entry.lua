-- entry.lua: what a stored action is and how it moves. Stands before the text of every script that moves one.
--
-- KEYS[1] is the tag `{nq:<domain>:<partition>}:` of the partition; every key is the tag and a suffix:
--   b:<id>                       STRING  header and payload of a live action
--   q:<tenant>:<queue name>      LIST    ids that wait, first come first; tombstones are ids without a body
--   x:<lane>:<tenant>            LIST    ring of the middles (context ids) of the tenant's non-empty queues
--   r:<lane>                     ZSET    tenants with a non-empty ring, by virtual time
--   z:<lane>                     ZSET    tenants that emptied while ahead of the lane's virtual time
--   v                            HASH    virtual times, passes of the lanes, last fencing token
--   n                            HASH    waiting actions by lane
--   lease                        ZSET    `id:token` by the end of the lease
--   inf                          HASH    leases by tenant
--   d                            ZSET    ids that become visible later, by when
--   f                            HASH    id -> failures, crashes, deadline, first claim
--   cx                           HASH    id -> reason of the cancellation of a running action
--   t:<task>                     HASH    record of a task; ti:<tenant> ZSET of the tenant's tasks by creation
--   o, ob                        ZSET, HASH  outbox: ids by when the sweep may take them, and what is handed over
--   dead                         STREAM  actions that were given up
--   wake                         LIST    at most one token, for one waiting worker

local T = KEYS[1]
local DOMAIN = string.match(T, '^{nq:([^:}]+)')
local US, RS = '\31', '\30'
local LANES = {'callbacks', 'enterprise', 'professional', 'advance', 'free'}
local IS_LANE = {callbacks = true, enterprise = true, professional = true, advance = true, free = true}

-- A number in full: Lua's own conversion rounds to 14 digits.
local function int(number)
  return string.format('%.0f', number)
end

-- The moment of this run in microseconds, set by `clock`; steps of a task carry it.
local stamp = 0

-- Returns milliseconds and microseconds: those given, or the server's own when 0 is given.
local function clock(given)
  local ms = tonumber(given)
  if ms > 0 then
    stamp = ms * 1000
    return ms, stamp
  end
  local time = redis.call('TIME')
  stamp = tonumber(time[1]) * 1000000 + tonumber(time[2])
  return math.floor(stamp / 1000), stamp
end

-- Reads the header of a body; nil when it is not one of ours.
local function parse(head)
  if not head then return nil end
  local enqueued, wait, deadline, tier, tenant, middle, lane, attempts, crashes, budget, flags = string.match(head,
    '^(%d+)\31(%d+)\31(%d+)\31(%a+)\31([%w%._@%-]+)\31([%w%._@%-]+)\31(%a+)\31(%d+)\31(%d+)\31(%d+)\31(%a*)\30')
  if not enqueued or not IS_LANE[lane] then return nil end
  return {
    enqueued = tonumber(enqueued), wait = tonumber(wait), deadline = tonumber(deadline), tier = tier, tenant = tenant,
    middle = middle, lane = lane, attempts = tonumber(attempts), crashes = tonumber(crashes),
    budget = tonumber(budget), root = string.find(flags, 'r', 1, true) ~= nil,
    outcome = string.find(flags, 'o', 1, true) ~= nil,
  }
end

-- Reads the header alone, without moving the payload.
local function head_of(id)
  return parse(redis.call('GETRANGE', T .. 'b:' .. id, 0, 767))
end

local function queue_name(middle, lane)
  return DOMAIN .. ':' .. middle .. ':' .. lane
end

local function queue_key(tenant, middle, lane)
  return T .. 'q:' .. tenant .. ':' .. queue_name(middle, lane)
end

-- Changes in the numbers of waiting actions, written once by `close`.
local counted, woken = {}, false

local function count(lane, change)
  counted[lane] = (counted[lane] or 0) + change
end

-- Puts an id into its queue. A queue that was empty enters its tenant's ring, a ring that was empty makes its tenant ready.
local function push(entry, id, at_head)
  local key = queue_key(entry.tenant, entry.middle, entry.lane)
  local length = redis.call(at_head and 'LPUSH' or 'RPUSH', key, id)
  if length == 1 and redis.call('RPUSH', T .. 'x:' .. entry.lane .. ':' .. entry.tenant, entry.middle) == 1 then
    local virtual = tonumber(redis.call('HGET', T .. 'v', 'v:' .. entry.lane) or 0)
    local left_at = redis.call('ZSCORE', T .. 'z:' .. entry.lane, entry.tenant)
    if left_at then
      redis.call('ZREM', T .. 'z:' .. entry.lane, entry.tenant)
      virtual = math.max(virtual, tonumber(left_at))
    end
    redis.call('ZADD', T .. 'r:' .. entry.lane, virtual, entry.tenant)
  end
  count(entry.lane, 1)
  woken = true
  return length
end

-- Takes a lease away from its tenant's number.
local function return_lease(tenant)
  if redis.call('HINCRBY', T .. 'inf', tenant, -1) <= 0 then redis.call('HDEL', T .. 'inf', tenant) end
end

-- Returns failures, crashes, deadline and first claim of an action; zeros and nil before its first failure.
local function recall(id)
  local failures, crashes, deadline, first =
    string.match(redis.call('HGET', T .. 'f', id) or '', '^(%d+)\31(%d+)\31(%d+)\31(%d+)$')
  if not failures then return 0, 0, nil, nil end
  return tonumber(failures), tonumber(crashes), tonumber(deadline), tonumber(first)
end

local function remember(id, failures, crashes, deadline, first)
  redis.call('HSET', T .. 'f', id, table.concat({int(failures), int(crashes), int(deadline), int(first)}, US))
end

-- Returns deadline and first claim of a leased action: remembered ones, or what follows from the token of its only claim.
local function limits(entry, token, deadline, first)
  if first then return deadline, first end
  first = math.floor(tonumber(token) / 1000)
  if entry.deadline > 0 then return entry.deadline, first end
  if entry.budget > 0 then return first + entry.budget, first end
  return 0, first
end

local function event(name, attempt)
  return table.concat({name, int(stamp), DOMAIN, int(attempt)}, US) .. RS
end

-- Changes the record of a task, if it is still there, and adds to its timeline.
local function record(id, events, ...)
  local known = redis.call('HGET', T .. 't:' .. id, 'events')
  if not known then return nil end
  events = known .. events
  redis.call('HSET', T .. 't:' .. id, 'events', events, ...)
  return events
end

-- An outcome older than this was left behind by the process that should have handed it over. One that a script made has no
-- such process and is old from the start.
local SWEEP_AGE = 1000

-- Puts an outcome into the outbox, for a process to hand over.
local function post(id, outcome, now)
  redis.call('ZADD', T .. 'o', now, id)
  redis.call('HSET', T .. 'ob', id, outcome)
end

local function bury(id, why, now, entry, attempts, failure, body, keep)
  redis.call('XADD', T .. 'dead', 'MAXLEN', '~', keep, '*', 'id', id, 'why', why, 'at', int(now),
    'tenant', entry and entry.tenant or '', 'queue', entry and queue_name(entry.middle, entry.lane) or '',
    'attempts', int(attempts), 'error', failure, 'body', body)
end

local function forget(id)
  redis.call('UNLINK', T .. 'b:' .. id)
  redis.call('HDEL', T .. 'f', id)
  redis.call('HDEL', T .. 'cx', id)
end

local STATUS_OF = {poison = 'failed', expired = 'timeout', overdue = 'timeout', cancelled = 'cancelled'}
local IS_DEAD = {poison = true, expired = true}

-- Ends an action that no worker settles: poison, expired (never claimed), overdue (claimed before) or cancelled. Its outcome
-- goes to the outbox as 'L', why, attempts, fence, first claim, end, reason, length of the events, a separator, events and
-- body: the process that hands it over makes the callback of it.
local function finish(id, entry, why, now, given)
  local failures, crashes, _, first = recall(id)
  -- Greater than the token of any delivery before, so that the end is not refused where deliveries left traces.
  local fence = math.max(now * 1000 + 999, tonumber(redis.call('HGET', T .. 'v', 'tok') or 0) + 1)
  local body = redis.call('GET', T .. 'b:' .. id) or ''
  local attempts = failures + crashes
  local events = ''
  if entry.root then
    events = record(id, event(why, attempts), 'status', STATUS_OF[why], 'why', why, 'reason', given.reason or '',
      'finished_at', int(now)) or ''
    redis.call('PEXPIRE', T .. 't:' .. id, given.result_ttl)
  end
  if entry.outcome then
    post(id, 'L' .. table.concat({why, int(attempts), int(fence), int(first or 0), int(now),
      (string.gsub(given.reason or '', '[%c]', ' ')), int(#events)}, US) .. RS .. events .. body, now - SWEEP_AGE)
  end
  if IS_DEAD[why] then bury(id, why, now, entry, attempts, '', body, given.keep) end
  forget(id)
end

-- Writes what was put off, and leaves a token for one waiting worker when something became visible.
local function close()
  for lane, change in pairs(counted) do
    if change ~= 0 then redis.call('HINCRBY', T .. 'n', lane, change) end
  end
  counted = {}
  if woken and redis.call('LLEN', T .. 'wake') == 0 then redis.call('RPUSH', T .. 'wake', '1') end
end
