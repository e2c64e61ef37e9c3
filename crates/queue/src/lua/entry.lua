-- entry.lua: what a stored action is and how it moves. Stands before the text of every script that moves one.
--
-- KEYS[1] is the tag `{nq:<domain>:<partition>}:` of the partition; every key is the tag and a suffix:
--   b:<id>                       STRING  header and payload of a live action
--   q:<tenant>:<queue name>      LIST    ids that wait, first come first; tombstones are ids without a body
--   x:<lane>:<tenant>            LIST    ring of the middles (context ids) of the tenant's non-empty queues
--   r:<lane>                     ZSET    tenants with a non-empty ring, by virtual time
--   z:<lane>                     ZSET    tenants that emptied while ahead of the lane's virtual time
--   park                         ZSET    `lane:tenant` with a non-empty ring that may not be served now, by virtual time
--   v                            HASH    virtual times, passes of the lanes, last fencing token
--   n                            HASH    waiting actions by lane, claims by lane, mean runs
--   w                            HASH    waiting actions by tenant, callbacks not counted; ticks strike out zeros
--   lease                        ZSET    `id:token` by the end of the lease
--   inf                          HASH    leases by tenant, callbacks not counted; ticks strike out zeros
--   d                            ZSET    ids that become visible later, by when
--   f                            HASH    id -> failures, crashes, deadline, first claim
--   cx                           HASH    id -> reason of the cancellation of a running action
--   ol                           HASH    queues whose actions run one at a time -> id that runs, empty when none does
--   cfg, cap, pt                 HASH    limits and pauses; caps by tenant; paused tenants
--   t:<task>                     HASH    record of a task; ti:<tenant> ZSET of the tenant's tasks by creation
--   ik:<tenant>:<key>            STRING  id of the action with an idempotency key; dd:<id> of a callback that was taken
--   o, ob                        ZSET, HASH  outbox: ids by when the sweep may take them, and what is handed over
--   dead                         STREAM  actions that were given up
--   wake                         LIST    at most one token, for one waiting worker

local T = KEYS[1]
local DOMAIN = string.match(T, '^{nq:([^:}]+)')
local US, RS = '\31', '\30'
local LANES = {'callbacks', 'enterprise', 'professional', 'advance', 'free'}
local call = redis.call

-- A number in full: Lua's own conversion rounds to 14 digits.
local function int(number)
  return string.format('%d', number)
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
  local time = call('TIME')
  stamp = tonumber(time[1]) * 1000000 + tonumber(time[2])
  return math.floor(stamp / 1000), stamp
end

-- Header of a body, big endian: magic, lane, tier (places in LANES), flags, most attempts, most crashes (a byte each), when
-- it became visible in microseconds (7), how long it may wait for its first claim from then on, how long it may take from then
-- on, its budget from the first claim (5 each, milliseconds, 0 = no limit), lengths of tenant and middle (a byte each), tenant,
-- middle. `engine/entry.rs` writes and reads the same.
local HEADER, MAGIC, FIXED, LONGEST = '>BBBBBBI7I5I5I5BB', 78, 30, 286
local ROOT, OUTCOME, ORDERED = 1, 2, 4

local function has(flags, flag)
  return math.floor(flags / flag) % 2 == 1
end

-- Reads the header of a body into a table; nil when it is not one of ours.
local function parse(body)
  if not body or #body < FIXED then return nil end
  local magic, lane, tier, flags, attempts, crashes, enqueued, wait, within, budget, tenant, middle =
    struct.unpack(HEADER, body)
  if magic ~= MAGIC or not LANES[lane] or not LANES[tier] or tier == 1 or #body < FIXED + tenant + middle then return nil end
  local visible = math.floor(enqueued / 1000)
  return {
    lane = LANES[lane], tier = LANES[tier], enqueued = enqueued, attempts = attempts, crashes = crashes, budget = budget,
    wait = wait > 0 and visible + wait or 0, deadline = within > 0 and visible + within or 0,
    tenant = string.sub(body, FIXED + 1, FIXED + tenant),
    middle = string.sub(body, FIXED + tenant + 1, FIXED + tenant + middle),
    root = has(flags, ROOT), outcome = has(flags, OUTCOME), ordered = has(flags, ORDERED),
  }
end

-- Returns a body that became visible at another moment.
local function dated(body, us)
  return string.sub(body, 1, 6) .. struct.pack('>I7', us) .. string.sub(body, 14)
end

-- Reads the header alone, without moving the payload.
local function head_of(id)
  return parse(call('GETRANGE', T .. 'b:' .. id, 0, LONGEST - 1))
end

local function queue_name(middle, lane)
  return DOMAIN .. ':' .. middle .. ':' .. lane
end

local function queue_of(tenant, middle, lane)
  return tenant .. ':' .. DOMAIN .. ':' .. middle .. ':' .. lane
end

local function queue_key(tenant, middle, lane)
  return T .. 'q:' .. queue_of(tenant, middle, lane)
end

-- Changes in the numbers of waiting actions, written once by `close`.
local counted, tenants_counted, woken = {}, {}, false

local function count(lane, tenant, change)
  counted[lane] = (counted[lane] or 0) + change
  if lane ~= 'callbacks' then tenants_counted[tenant] = (tenants_counted[tenant] or 0) + change end
end

-- Names of the keys that every run needs, put together once.
local WAITING, RUNNING, BODY = T .. 'w', T .. 'inf', T .. 'b:'

-- Whether there are queues whose actions run one at a time, parked tenants; asked once a run.
local known_ordered, known_parked
local function any_ordered()
  if known_ordered == nil then known_ordered = call('EXISTS', T .. 'ol') == 1 end
  return known_ordered
end
local function any_parked()
  if known_parked == nil then known_parked = call('EXISTS', T .. 'park') == 1 end
  return known_parked
end

-- Virtual times of the lanes, looked up once a run.
local virtual_times = {}

-- Makes a tenant ready whose ring was empty. Who was idle starts at the present virtual time; who left while ahead of it
-- starts where it left. What is remembered of that goes when the virtual time has passed it.
local function make_ready(lane, tenant)
  local virtual = virtual_times[lane]
  if not virtual then
    virtual = tonumber(call('HGET', T .. 'v', 'v:' .. lane) or 0)
    virtual_times[lane] = virtual
  end
  local left_at = tonumber(call('ZSCORE', T .. 'z:' .. lane, tenant) or 0)
  if left_at > virtual then virtual = left_at end
  call('ZADD', T .. 'r:' .. lane, virtual, tenant)
end

-- A queue that has something to give enters its tenant's ring; a ring that was empty makes its tenant ready.
local function enter(tenant, middle, lane)
  if call('RPUSH', T .. 'x:' .. lane .. ':' .. tenant, middle) == 1 then make_ready(lane, tenant) end
end

-- Puts an id into its queue. Of a queue whose actions run one at a time the one that ran may stand at the head again, and
-- then others may follow; as long as one runs, the queue stays out of its ring.
local function push(entry, id, at_head)
  local lane, tenant, middle = entry.lane, entry.tenant, entry.middle
  local length = call(at_head and 'LPUSH' or 'RPUSH', queue_key(tenant, middle, lane), id)
  local enters = length == 1
  if entry.ordered and call('HSETNX', T .. 'ol', queue_of(tenant, middle, lane), '') == 1 then known_ordered = true end
  if any_ordered() then
    local queue = queue_of(tenant, middle, lane)
    local holder = call('HGET', T .. 'ol', queue)
    if holder == id then
      call('HSET', T .. 'ol', queue, '')
      enters = true
    elseif holder and holder ~= '' then
      enters = false
    end
  end
  if enters then enter(tenant, middle, lane) end
  count(lane, tenant, 1)
  woken = true
  return length
end

-- Forgets that the actions of an empty queue ran one at a time, unless one runs.
local function leave(tenant, middle, lane)
  if not any_ordered() then return end
  local queue = queue_of(tenant, middle, lane)
  if call('HGET', T .. 'ol', queue) == '' then call('HDEL', T .. 'ol', queue) end
end

-- Lets the next action of a queue go whose actions run one at a time, if this one was the one that ran.
local function unlock(tenant, middle, lane, id)
  if not any_ordered() then return end
  local queue = queue_of(tenant, middle, lane)
  local holder = call('HGET', T .. 'ol', queue)
  if holder ~= id then return end
  if call('EXISTS', T .. 'q:' .. queue) == 1 then
    call('HSET', T .. 'ol', queue, '')
    enter(tenant, middle, lane)
    woken = true
  else
    call('HDEL', T .. 'ol', queue)
  end
end

-- Takes leases away from a tenant's number. A tenant that waits at its cap may be served again: the next claim judges.
local function return_leases(tenant, lane, leases)
  if lane == 'callbacks' then return end
  call('HINCRBY', RUNNING, tenant, -leases)
  if not any_parked() then return end
  for i = 2, #LANES do
    local member = LANES[i] .. ':' .. tenant
    local virtual = call('ZSCORE', T .. 'park', member)
    if virtual and call('HEXISTS', T .. 'pt', tenant) == 0 then
      call('ZREM', T .. 'park', member)
      call('ZADD', T .. 'r:' .. LANES[i], virtual, tenant)
      woken = true
    end
  end
end

-- Returns failures, crashes, deadline and first claim of an action; zeros and nil before its first failure.
local function recall(id)
  local failures, crashes, deadline, first =
    string.match(call('HGET', T .. 'f', id) or '', '^(%d+)\31(%d+)\31(%d+)\31(%d+)$')
  if not failures then return 0, 0, nil, nil end
  return tonumber(failures), tonumber(crashes), tonumber(deadline), tonumber(first)
end

local function remember(id, failures, crashes, deadline, first)
  call('HSET', T .. 'f', id, table.concat({int(failures), int(crashes), int(deadline), int(first)}, US))
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
  call('ZADD', index, now, id)
  call('ZREMRANGEBYSCORE', index, '-inf', now - 2 * kept)
  call('PEXPIRE', index, 2 * kept)
end

-- An outcome older than this was left behind by the process that should have handed it over. One that a script made has no
-- such process and is old from the start.
local SWEEP_AGE = 1000

-- Puts an outcome into the outbox, for a process to hand over.
local function post(id, outcome, now)
  call('ZADD', T .. 'o', now, id)
  call('HSET', T .. 'ob', id, outcome)
end

local function bury(id, why, now, entry, attempts, failure, body, keep)
  -- A record goes before its dead letter does: what it would need again lies here.
  local root = entry and entry.root and call('HMGET', T .. 't:' .. id, 'type', 'session') or {}
  call('XADD', T .. 'dead', 'MAXLEN', '~', keep, '*', 'id', id, 'why', why, 'at', int(now),
    'tenant', entry and entry.tenant or '', 'queue', entry and queue_name(entry.middle, entry.lane) or '',
    'attempts', int(attempts), 'error', failure, 'root', (root[1] or '') .. US .. (root[2] or ''), 'body', body)
end

local function forget(id)
  call('UNLINK', T .. 'b:' .. id)
  call('HDEL', T .. 'f', id)
  call('HDEL', T .. 'cx', id)
end

-- Ends what nobody can read; its bytes are kept.
local function bury_malformed(id, body, now, given)
  record(id, event('malformed', 0), 'status', 'failed', 'why', 'malformed', 'finished_at', int(now))
  call('PEXPIRE', T .. 't:' .. id, given.result_ttl)
  bury(id, 'malformed', now, nil, 0, '', body, given.keep)
  forget(id)
  -- Whose queue it holds back no header tells any more.
  local ordered = any_ordered() and call('HGETALL', T .. 'ol') or {}
  for i = 1, #ordered, 2 do
    local tenant, middle, lane = string.match(ordered[i], '^([^:]+):[^:]+:([^:]+):([^:]+)$')
    if ordered[i + 1] == id then unlock(tenant, middle, lane, id) end
  end
end

-- The same for an id that lies in no queue any more. What has ended before is left alone.
local function bury_if_malformed(id, now, given)
  local body = call('GET', T .. 'b:' .. id)
  if body and not parse(body) then bury_malformed(id, body, now, given) end
end

local STATUS_OF = {poison = 'failed', expired = 'timeout', overdue = 'timeout', cancelled = 'cancelled'}
local IS_DEAD = {poison = true, expired = true}

-- Ends an action that no worker settles: poison, expired (never claimed), overdue (claimed before) or cancelled. Its outcome
-- goes to the outbox as 'L', why, attempts, fence, first claim, end, reason, length of the events, a separator, events and
-- body: the process that hands it over makes the callback of it.
local function finish(id, entry, why, now, given)
  local failures, crashes, _, first = recall(id)
  -- Greater than the token of any delivery before, so that the end is not refused where deliveries left traces.
  local fence = math.max(now * 1000 + 999, tonumber(call('HGET', T .. 'v', 'tok') or 0) + 1)
  local body = call('GET', T .. 'b:' .. id) or ''
  local attempts = failures + crashes
  local events = ''
  if entry.root then
    events = record(id, event(why, attempts), 'status', STATUS_OF[why], 'why', why, 'reason', given.reason or '',
      'finished_at', int(now)) or ''
    call('PEXPIRE', T .. 't:' .. id, given.result_ttl)
  end
  if entry.outcome then
    post(id, 'L' .. table.concat({why, int(attempts), int(fence), int(first or 0), int(now),
      (string.gsub(given.reason or '', '[%c]', ' ')), int(#events)}, US) .. RS .. events .. body, now - SWEEP_AGE)
  end
  if IS_DEAD[why] then bury(id, why, now, entry, attempts, '', body, given.keep) end
  forget(id)
  unlock(entry.tenant, entry.middle, entry.lane, id)
end

-- Writes what was put off, and leaves a token for one waiting worker when something became visible.
local function close()
  for lane, change in pairs(counted) do
    if change ~= 0 then call('HINCRBY', T .. 'n', lane, change) end
  end
  for tenant, change in pairs(tenants_counted) do
    if change ~= 0 then call('HINCRBY', WAITING, tenant, change) end
  end
  counted, tenants_counted = {}, {}
  if woken and call('LLEN', T .. 'wake') == 0 then call('RPUSH', T .. 'wake', '1') end
end
