#!lua flags=allow-oom
-- settle: ends deliveries, each under its fencing token.
--
-- KEYS[1]  tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), dead letters kept, then 12 values an item: verb, id,
--          token and, by verb:
--            done     status, why (reason of a dead letter; else empty), outcome for the outbox (empty = none), result,
--                     error, tokens, events, attempt, note
--            retry    delay (ms), -, -, -, error, -, events, -, -
--            release  -
--            relayed  -   (no token: the outcome of `id` was handed over)
-- Reply    ok | stale (somebody else may hold it: not ours any more) | gone (it has ended) an item
-- Holds    Only the holder of the lease `id:token` changes anything. End, record and outbox change together. Settling works
--          on a full server.

local now = clock(ARGV[1])
local kept, keep = tonumber(ARGV[2]), ARGV[3]
local runs = {}

local function complete(id, token, entry, item)
  local status, why, outcome = item[4], item[5], item[6]
  local attempt = tonumber(item[11])
  if entry.root then
    local events = item[10] .. event('settled', attempt)
    record(id, events, 'status', status, 'stage', status, 'why', why, 'finished_at', int(now), 'attempts', attempt,
      'result', item[7], 'error', item[8], 'tokens', item[9])
    redis.call('PEXPIRE', T .. 't:' .. id, kept)
  end
  if outcome ~= '' then post(id, outcome, now) end
  if why ~= '' then
    bury(id, why, now, entry, attempt, item[8], redis.call('GET', T .. 'b:' .. id) or '', keep)
  end
  if status == 'completed' then
    local sample = runs[entry.lane] or {0, 0}
    runs[entry.lane] = {sample[1] + 1, sample[2] + math.max(0, now - math.floor(tonumber(token) / 1000))}
  end
  forget(id)
end

local function come_back(id, token, entry, item, failed)
  local reason = redis.call('HGET', T .. 'cx', id)
  local failures, crashes, deadline, first = recall(id)
  local known = first ~= nil
  deadline, first = limits(entry, token, deadline, first)
  if failed then failures = failures + 1 end
  if failed or known then remember(id, failures, crashes, deadline, first) end
  if reason then
    finish(id, entry, 'cancelled', now, {result_ttl = kept, keep = keep, reason = reason})
    return
  end
  if not failed then
    -- A released first delivery keeps its deadline: the budget counts from the first claim.
    remember(id, failures, crashes, deadline, first)
    if entry.root then
      record(id, item[10] .. event('released', failures + crashes + 1), 'status', 'pending', 'stage', 'released')
    end
    push(entry, id, true)
    return
  end
  if entry.root then
    record(id, item[10] .. event('retried', failures + crashes), 'status', 'pending', 'stage', 'retried', 'error', item[8])
  end
  redis.call('ZADD', T .. 'd', now + tonumber(item[4]), id)
  -- Whoever waits for work learns of this moment by claiming; it may be nearer than the one that they wait for.
  woken = true
end

local function settle(item)
  local verb, id, token = item[1], item[2], item[3]
  if verb == 'relayed' then
    redis.call('ZREM', T .. 'o', id)
    redis.call('HDEL', T .. 'ob', id)
    return 'ok'
  end
  if redis.call('ZREM', T .. 'lease', id .. ':' .. token) == 0 then
    return redis.call('EXISTS', T .. 'b:' .. id) == 1 and 'stale' or 'gone'
  end
  local entry = head_of(id)
  if not entry then return 'gone' end
  return_lease(entry.tenant)
  if verb == 'done' then
    complete(id, token, entry, item)
  else
    come_back(id, token, entry, item, verb == 'retry')
  end
  return 'ok'
end

local reply = {}
for i = 4, #ARGV, 12 do
  local item = {}
  for k = 0, 11 do item[k + 1] = ARGV[i + k] end
  reply[#reply + 1] = settle(item)
end
-- The running mean of how long completed actions took, by lane: a tenth of every new batch.
for lane, sample in pairs(runs) do
  local mean = sample[2] / sample[1]
  local known = tonumber(redis.call('HGET', T .. 'n', 'run:' .. lane) or mean)
  redis.call('HSET', T .. 'n', 'run:' .. lane, string.format('%.3f', known + (mean - known) * 0.1))
end
close()
return reply
