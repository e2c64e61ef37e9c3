#!lua flags=allow-oom
-- settle: ends deliveries, each under its fencing token.
--
-- KEYS[1]  tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), dead letters kept, then items, each beginning with a
--          letter, the id and the token:
--            d  tenant, lane                  done, without record, outcome and dead letter
--            D  tenant, lane, status, why (reason of a dead letter; else empty), outcome for the outbox (empty = none), result,
--               error, tokens, events, attempt, recorded (1 or empty)
--            r  delay (ms), error, events     to be tried again
--            b  events                        given back
--            c                                its worker is gone: the lease ends now, and whoever lets time act counts a crash
--            x  (no token)                    the outcome of `id` was handed over
-- Reply    ok | stale (somebody else may hold it: not ours any more) | gone (it has ended) an item
-- Holds    Only the holder of the lease `id:token` changes anything. End, record and outbox change together. Settling works
--          on a full server.

local now = clock(ARGV[1])
local kept, keep = tonumber(ARGV[2]), ARGV[3]
local LENGTH = {d = 5, D = 14, r = 6, b = 4, c = 3, x = 3}

-- Every item as where it begins; the leases that are asked for, and which of them are held.
local items, members = {}, {}
local at = 4
while at <= #ARGV do
  items[#items + 1] = at
  members[#members + 1] = ARGV[at + 1] .. ':' .. ARGV[at + 2]
  at = at + LENGTH[ARGV[at]]
end
local scores = #members > 0 and call('ZMSCORE', T .. 'lease', unpack(members)) or {}

local released, forgotten, given_back, runs = {}, {}, {}, {}

-- Notes that a delivery is over; written once by `clear`.
local function give_back(tenant, lane)
  if lane ~= 'callbacks' then given_back[tenant] = (given_back[tenant] or 0) + 1 end
end

local function sample(lane, token)
  local known = runs[lane]
  if not known then
    known = {0, 0}
    runs[lane] = known
  end
  known[1] = known[1] + 1
  known[2] = known[2] + math.max(0, now - math.floor(tonumber(token) / 1000))
end

local function done(id, token, i)
  local tenant, lane = ARGV[i + 3], ARGV[i + 4]
  give_back(tenant, lane)
  sample(lane, token)
  if any_ordered() then
    local entry = head_of(id)
    if entry then unlock(tenant, entry.middle, lane, id) end
  end
  forgotten[#forgotten + 1] = id
end

local function complete(id, token, i)
  local tenant, lane, status, why, outcome = ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7]
  local failure, attempt = ARGV[i + 9], tonumber(ARGV[i + 12])
  if ARGV[i + 13] ~= '' then
    record(id, ARGV[i + 11] .. event('settled', attempt), 'status', status, 'stage', status, 'why', why, 'finished_at',
      int(now), 'attempts', attempt, 'result', ARGV[i + 8], 'error', failure, 'tokens', ARGV[i + 10])
    call('PEXPIRE', T .. 't:' .. id, kept)
  end
  if outcome ~= '' then post(id, outcome, now) end
  local entry = (why ~= '' or any_ordered()) and head_of(id) or nil
  if why ~= '' then bury(id, why, now, entry, attempt, failure, call('GET', T .. 'b:' .. id) or '', keep) end
  if status == 'completed' then sample(lane, token) end
  give_back(tenant, lane)
  if entry then unlock(tenant, entry.middle, lane, id) end
  forgotten[#forgotten + 1] = id
end

-- Brings an action back: after a failure when its delay is over, else to the head at once.
local function come_back(id, token, failed, delay, failure, told)
  local entry = head_of(id)
  if not entry then return bury_if_malformed(id, now, {result_ttl = kept, keep = keep}) end
  give_back(entry.tenant, entry.lane)
  local reason = call('HGET', T .. 'cx', id)
  local failures, crashes, deadline, first = recall(id)
  deadline, first = limits(entry, token, deadline, first)
  if failed then failures = failures + 1 end
  -- Also a released first delivery keeps its deadline: the budget counts from the first claim.
  remember(id, failures, crashes, deadline, first)
  if reason then
    return finish(id, entry, 'cancelled', now, {result_ttl = kept, keep = keep, reason = reason})
  end
  if not failed then
    if entry.root then
      record(id, told .. event('released', failures + crashes + 1), 'status', 'pending', 'stage', 'released')
    end
    push(entry, id, true)
    return
  end
  if entry.root then
    record(id, told .. event('retried', failures + crashes), 'status', 'pending', 'stage', 'retried', 'error', failure)
  end
  call('ZADD', T .. 'd', now + tonumber(delay), id)
  -- Whoever waits for work learns of this moment by claiming; it may be nearer than the one that they wait for.
  woken = true
end

local settled = {}
local function settle(number, i)
  local verb, id, token = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if verb == 'x' then
    call('ZREM', T .. 'o', id)
    call('HDEL', T .. 'ob', id)
    return 'ok'
  end
  local member = members[number]
  if not scores[number] or settled[member] then
    return (call('EXISTS', T .. 'b:' .. id) == 1 and not settled[member]) and 'stale' or 'gone'
  end
  settled[member] = true
  if verb == 'c' then
    call('ZADD', T .. 'lease', 'XX', now, member)
    woken = true
    return 'ok'
  end
  released[#released + 1] = member
  if verb == 'd' then
    done(id, token, i)
  elseif verb == 'D' then
    complete(id, token, i)
  elseif verb == 'r' then
    come_back(id, token, true, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
  else
    come_back(id, token, false, 0, '', ARGV[i + 3])
  end
  return 'ok'
end

-- Writes what was put off.
local function clear()
  if #released > 0 then call('ZREM', T .. 'lease', unpack(released)) end
  for tenant, leases in pairs(given_back) do return_leases(tenant, '', leases) end
  if #forgotten == 0 then return end
  local bodies = {}
  for k = 1, #forgotten do bodies[k] = BODY .. forgotten[k] end
  call('UNLINK', unpack(bodies))
  for _, key in ipairs({'f', 'cx'}) do
    if call('EXISTS', T .. key) == 1 then call('HDEL', T .. key, unpack(forgotten)) end
  end
end

local reply = {}
for number, i in ipairs(items) do reply[number] = settle(number, i) end
clear()
-- The running mean of how long completed actions took, by lane: a tenth of every new batch.
for lane, taken in pairs(runs) do
  local mean = taken[2] / taken[1]
  local known = tonumber(call('HGET', T .. 'n', 'run:' .. lane) or mean)
  call('HSET', T .. 'n', 'run:' .. lane, string.format('%.3f', known + (mean - known) * 0.1))
end
close()
return reply
