-- ends.lua: how actions end, and what is known of those that were tried before.

-- Makes a tenant ready again that waits at its cap: the next claim judges.
local function unpark(tenant)
  for i = 2, #LANES do
    local member = LANES[i] .. ':' .. tenant
    local virtual = call('ZSCORE', T .. 'park', member)
    if virtual and call('HEXISTS', T .. 'pt', tenant) == 0 then
      call('ZREM', T .. 'park', member)
      rejoin(LANES[i], tenant, virtual)
      woken = true
    end
  end
end

-- Changes the numbers of leases of tenants by what they give back, callbacks not counted.
local function return_leases(changes)
  add(RUNNING, changes)
  if not any_parked() then return end
  for tenant in pairs(changes) do unpark(tenant) end
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
  local root = entry and entry.root and call('HMGET', T .. 't:' .. id, 'type', 'session', 'user', 'agent') or {}
  call('XADD', T .. 'dead', 'MAXLEN', '~', keep, '*', 'id', id, 'why', why, 'at', int(now),
    'tenant', entry and entry.tenant or '', 'queue', entry and queue_name(entry.middle, entry.lane) or '',
    'attempts', int(attempts), 'error', failure, 'root', table.concat({root[1] or '', root[2] or '', root[3] or '', root[4] or ''}, US), 'body', body)
end

local function forget(id)
  call('UNLINK', BODY .. id)
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
  local body = call('GET', BODY .. id)
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
  local body = call('GET', BODY .. id) or ''
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
