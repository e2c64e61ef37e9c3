#!lua flags=allow-oom
-- settle: ends deliveries, each under its fencing token.
--
-- Key      tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), dead letters kept, then items, each beginning with a
--          letter, the id and the token:
--            d  (right behind the letter the place of the lane and the tenant)  done, without record, outcome and dead letter;
--               an empty letter: the same once more, of the same lane and tenant
--            D  tenant, lane, status, why (reason of a dead letter; else empty), outcome for the outbox (empty = none), result,
--               error, tokens, events, attempt, recorded (1 or empty)
--            r  delay (ms), error, events     to be tried again
--            b  events                        given back
--            c                                its worker is gone: the lease ends now, and whoever lets time act counts a crash
--            x  (no token)                    the outcome of `id` was handed over
-- Reply    a letter an item: o (ok) | s (stale: somebody else may hold it, it is not ours any more) | g (gone: it has ended)
-- Holds    Only the holder of the lease `id:token` changes anything. End, record and outbox change together. Settling works
--          on a full server.

local now, kept, keep
local LENGTH = {[''] = 3, d = 3, D = 14, r = 6, b = 4, c = 3, x = 3}

-- The lease of every item, when it ends if it is held, and those that were settled in this run.
local members, scores, settled
-- Leases that are over, actions that are, what tenants give back, how long completed ones took by lane; see `clear`.
local released, forgotten, given_back, runs

-- Returns where every item begins.
local function read(ARGV)
  local items, at = {}, 4
  members = {}
  while at <= #ARGV do
    items[#items + 1] = at
    members[#members + 1] = ARGV[at + 1] .. ':' .. ARGV[at + 2]
    at = at + LENGTH[string.sub(ARGV[at], 1, 1)]
  end
  scores = #members > 0 and call('ZMSCORE', T .. 'lease', unpack(members)) or {}
  return items
end

-- Notes that a delivery is over; written once by `clear`.
local function give_back(tenant, lane)
  if lane ~= 'callbacks' then given_back[tenant] = (given_back[tenant] or 0) - 1 end
end

-- Notes how long a completed action took. Of a batch of one lane the first stands for all.
local function sample(lane, token)
  if not runs[lane] then runs[lane] = math.max(0, now - math.floor(tonumber(token) / 1000)) end
end

-- Lane and tenant of the last `d`, which those with an empty letter share.
local lane_of_done, tenant_of_done

local function done(id, token)
  give_back(tenant_of_done, lane_of_done)
  sample(lane_of_done, token)
  if any_ordered() then
    local entry = head_of(id)
    if entry then unlock(tenant_of_done, entry.middle, lane_of_done, id) end
  end
  forgotten[#forgotten + 1] = id
end

local function complete(ARGV, id, token, i)
  local tenant, lane, status, why, outcome = ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7]
  local failure, attempt = ARGV[i + 9], tonumber(ARGV[i + 12])
  if ARGV[i + 13] ~= '' then
    record(id, ARGV[i + 11] .. event('settled', attempt), 'status', status, 'stage', status, 'why', why, 'finished_at',
      int(now), 'attempts', attempt, 'result', ARGV[i + 8], 'error', failure, 'tokens', ARGV[i + 10])
    call('PEXPIRE', T .. 't:' .. id, kept)
  end
  if outcome ~= '' then post(id, outcome, now) end
  local entry = (why ~= '' or any_ordered()) and head_of(id) or nil
  if why ~= '' then bury(id, why, now, entry, attempt, failure, call('GET', BODY .. id) or '', keep) end
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

local function settle_one(ARGV, number, i)
  local verb, id, token = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if #verb > 1 then
    lane_of_done, tenant_of_done = LANES[string.byte(verb, 2) - 48], string.sub(verb, 3)
    verb = ''
  end
  if verb == 'x' then
    call('ZREM', T .. 'o', id)
    call('HDEL', T .. 'ob', id)
    return 'o'
  end
  local member = members[number]
  if not scores[number] or settled[member] then
    -- Also what is settled twice in one go is over.
    return (call('EXISTS', BODY .. id) == 1 and not settled[member]) and 's' or 'g'
  end
  settled[member] = true
  if verb == 'c' then
    call('ZADD', T .. 'lease', 'XX', now, member)
    woken = true
    return 'o'
  end
  released[#released + 1] = member
  if verb == '' then
    done(id, token)
  elseif verb == 'D' then
    complete(ARGV, id, token, i)
  elseif verb == 'r' then
    come_back(id, token, true, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
  else
    come_back(id, token, false, 0, '', ARGV[i + 3])
  end
  return 'o'
end

-- Writes what was put off.
local function clear()
  if #released > 0 then call('ZREM', T .. 'lease', unpack(released)) end
  return_leases(given_back)
  if #forgotten == 0 then return end
  local bodies = {}
  for k = 1, #forgotten do bodies[k] = BODY .. forgotten[k] end
  call('UNLINK', unpack(bodies))
  if not seldom then return end
  for _, key in ipairs({'f', 'cx'}) do
    if call('EXISTS', T .. key) == 1 then call('HDEL', T .. key, unpack(forgotten)) end
  end
end

-- The running mean of how long completed actions took, by lane: a tenth of every new batch.
local function note_runs()
  for lane, taken in pairs(runs) do
    local known = tonumber(call('HGET', T .. 'n', 'run:' .. lane) or taken)
    call('HSET', T .. 'n', 'run:' .. lane, string.format('%.3f', known + (taken - known) * 0.1))
  end
end

local function settle(ARGV)
  now, kept, keep = clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
  settled, released, forgotten, given_back, runs = {}, {}, {}, {}, {}
  local letters = {}
  for number, i in ipairs(read(ARGV)) do letters[number] = settle_one(ARGV, number, i) end
  clear()
  note_runs()
  close()
  return table.concat(letters)
end
