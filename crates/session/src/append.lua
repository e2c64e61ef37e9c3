-- Appends frames: all of them, or none when one is refused.
--
-- KEYS[1] meta, KEYS[2] log, KEYS[3] nodes, KEYS[4..] state of the tasks
-- ARGV[1] new epoch if one is needed, ARGV[2] ms to live, ARGV[3] frames to keep, ARGV[4] bytes that a hint may carry
-- ARGV[5] frame that tells of a restart, '' for none: it goes before the first frame if an earlier attempt wrote
-- then seven per frame: number of the task's key, task, fence, final 0|1, index of the delta or -1, kind, body
--   kind 'd' is a delta, 'f' any other frame, 'r' none at all (only the restart)
--
-- Returns {'ok', epoch, {seq …}}, {'stale', '', {}} or {'finished', '', {}}; seq is 0 for a frame that is not written.
-- Invariants: no lower fence and nothing after a final is written; seq grows by one per entry; a delta that the same
-- attempt wrote already is not written twice.

local now = numbering(KEYS[1], KEYS[2], ARGV[1], true)
local ttl = tonumber(ARGV[2])

local tasks = {}
local function task(key)
  if not tasks[key] then
    local known = redis.call('HMGET', key, 'fence', 'wrote', 'index', 'final')
    tasks[key] = {
      fence = tonumber(known[1] or '0'),
      wrote = tonumber(known[2] or '0'),
      index = tonumber(known[3] or '-1'),
      final = known[4] == '1',
    }
  end
  return tasks[key]
end

local frames = {}
for at = 6, #ARGV, 7 do
  local state = task(KEYS[3 + tonumber(ARGV[at])])
  local frame = {
    state = state,
    task = ARGV[at + 1],
    fence = tonumber(ARGV[at + 2]),
    index = tonumber(ARGV[at + 4]),
    kind = ARGV[at + 5],
    body = ARGV[at + 6],
  }
  if state.final then
    return { 'finished', '', {} }
  end
  if frame.fence < state.fence then
    return { 'stale', '', {} }
  end
  if frame.fence > state.fence then
    state.fence, state.index = frame.fence, -1
  end
  if frame.index >= 0 then
    frame.again = frame.index <= state.index
    state.index = math.max(state.index, frame.index)
  end
  state.final = ARGV[at + 3] == '1'
  frames[#frames + 1] = frame
end

local at = clock()
local hint, lengths, bytes = {}, {}, 0
local function write(frame, kind, body)
  now.seq = now.seq + 1
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], string.format('%.0f-0', now.seq),
    't', frame.task, 'k', kind, 'a', at, 'b', body)
  frame.state.wrote = frame.fence
  hint[#hint + 1] = body
  lengths[#lengths + 1] = #body
  bytes = bytes + #body
  return now.seq
end

local first = now.seq + 1
local positions = {}
for number, frame in ipairs(frames) do
  local wrote = frame.state.wrote
  local restarted = 0
  if number == 1 and ARGV[5] ~= '' and wrote > 0 and wrote < frame.fence then
    restarted = write(frame, 'f', ARGV[5])
  end
  if frame.kind == 'r' then
    positions[number] = restarted
  elseif frame.again then
    positions[number] = now.seq
  else
    positions[number] = write(frame, frame.kind, frame.body)
  end
end

redis.call('HSET', KEYS[1], 'seq', now.seq, 'ttl', ttl)
keep(KEYS[1], KEYS[2], ttl)
for key, state in pairs(tasks) do
  redis.call('HSET', key, 'fence', state.fence, 'wrote', state.wrote, 'index', state.index,
    'final', state.final and 1 or 0)
  redis.call('PEXPIRE', key, ttl)
end

if #hint > 0 then
  local nodes = redis.call('ZRANGEBYSCORE', KEYS[3], at, '+inf')
  if #nodes > 0 then
    if bytes > tonumber(ARGV[4]) then
      hint, lengths = {}, {}
    end
    local tag = string.sub(KEYS[1], 1, -6)
    local head = string.format('%s %s %.0f %.0f %.0f %s\n', tag, now.epoch, now.seq, first, at, table.concat(lengths, ','))
    local message = head .. table.concat(hint)
    for _, node in ipairs(nodes) do
      redis.call('PUBLISH', 'ns:node:' .. node, message)
    end
  end
end
return { 'ok', now.epoch, positions }
