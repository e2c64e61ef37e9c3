-- Shared beginning of the scripts of a log: which numbering is in force.
--
-- An epoch belongs to one start of one server. When the server that runs this is not the one that numbered last, it
-- may have come back without its last seconds, so a new epoch begins. What is still there keeps its positions, and
-- `lineage` remembers how far each earlier epoch is the same as this one: "<epoch>=<last common position>;…".

local LINEAGE = 16

-- Returns {epoch, seq, lineage, created}, or nil when there is no log and `create` is false.
local function numbering(meta_key, log_key, candidate, create)
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local known = redis.call('HMGET', meta_key, 'epoch', 'seq', 'run', 'lineage')
  local now = { epoch = known[1], seq = tonumber(known[2] or '0'), lineage = known[4] or '', created = false }
  if not now.epoch then
    if not create then
      return nil
    end
    redis.call('DEL', log_key)
    redis.call('HSET', meta_key, 'epoch', candidate, 'seq', 0, 'run', run)
    return { epoch = candidate, seq = 0, lineage = '', created = true }
  end
  if known[3] ~= run then
    now.lineage = now.lineage .. now.epoch .. '=' .. string.format('%.0f', now.seq) .. ';'
    local _, epochs = string.gsub(now.lineage, ';', '')
    if epochs > LINEAGE then
      now.lineage = string.gsub(now.lineage, '^[^;]*;', '', epochs - LINEAGE)
    end
    now.epoch = candidate
    redis.call('HSET', meta_key, 'epoch', candidate, 'run', run, 'lineage', now.lineage)
  end
  return now
end

-- Returns the last position that an earlier epoch shares with the one in force, or nil when it is not remembered.
local function shared(lineage, epoch)
  local start, stop = string.find(lineage, epoch .. '=', 1, true)
  return start and tonumber(string.match(lineage, '^%d+', stop + 1))
end

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Keeps the keys of a log alive; the state outlives the frames, so that frames never lack it.
local function keep(meta_key, log_key, ttl)
  redis.call('PEXPIRE', meta_key, ttl + 60000)
  redis.call('PEXPIRE', log_key, ttl)
end

-- Notes that a process follows until the lease ends.
local function lease(meta_key, log_key, nodes_key, node, duration, ttl)
  local now = clock()
  redis.call('ZREMRANGEBYSCORE', nodes_key, '-inf', now)
  redis.call('ZADD', nodes_key, now + duration, node)
  redis.call('PEXPIRE', nodes_key, duration)
  keep(meta_key, log_key, tonumber(redis.call('HGET', meta_key, 'ttl') or ttl))
end
