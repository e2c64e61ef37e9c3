-- Reads frames after a position.
--
-- KEYS[1] meta, KEYS[2] log, KEYS[3] nodes
-- ARGV[1] new epoch if one is needed, ARGV[2] 'acked', 'after', 'begin' or 'now', ARGV[3] epoch of the position,
-- ARGV[4] position, ARGV[5] entries to look at, ARGV[6] process that follows from now on, '' for none,
-- ARGV[7] ms of its lease, ARGV[8] ms to live of a log that has none yet
--
-- Returns {epoch, top, after, upto, reason, missed_from, missed_to, {seq, at, body, …}}; reason is '' without a gap, and of a gap
-- of which nobody knows what is missing both positions are 0.
-- Invariant: every position in (after, upto] is in the answer, or is a delta of a task whose final is in the log.

local node = ARGV[6]
local now = numbering(KEYS[1], KEYS[2], ARGV[1], node ~= '')
if not now then
  local lost = ARGV[2] == 'after' and ARGV[3] ~= '' and tonumber(ARGV[4]) > 0
  return { '', 0, 0, 0, lost and 'expired' or '', 0, 0, {} }
end
if node ~= '' then
  lease(KEYS[1], KEYS[2], KEYS[3], node, tonumber(ARGV[7]), ARGV[8])
end

local after, reason = 0, ''
local asked = tonumber(ARGV[4])
local function acknowledged()
  return tonumber(redis.call('HGET', KEYS[1], 'acked') or '0')
end
if ARGV[2] == 'acked' or (ARGV[2] == 'after' and ARGV[3] == '') then
  after = acknowledged()
elseif ARGV[2] == 'now' then
  after = now.seq
elseif ARGV[2] == 'after' and ARGV[3] == now.epoch then
  after = math.min(asked, now.seq)
  -- Who has seen more than there is knows of frames that this server has lost, or is mistaken.
  reason = asked > now.seq and 'epoch' or ''
elseif ARGV[2] == 'after' then
  local common = shared(now.lineage, ARGV[3])
  reason = now.created and 'expired' or 'epoch'
  after = common and math.min(asked, common) or acknowledged()
end

local function position(id)
  return tonumber(string.match(id, '^%d+'))
end
-- What a server forgot when it came back, nobody knows.
local missed_from, missed_to = 0, 0
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local first = oldest and position(oldest[1]) or now.seq + 1
if after + 1 < first then
  missed_from, missed_to = after + 1, first - 1
  after = first - 1
  if reason == '' then
    reason = oldest and 'trimmed' or 'expired'
  end
end

local tag = string.sub(KEYS[1], 1, -6)
local finals = {}
local function finished(task)
  if finals[task] == nil then
    finals[task] = redis.call('HGET', tag .. ':t:' .. task, 'final') == '1'
  end
  return finals[task]
end

local limit = tonumber(ARGV[5])
local entries = redis.call('XRANGE', KEYS[2], string.format('%.0f-0', after + 1), '+', 'COUNT', limit)
local upto, frames = now.seq, {}
for number, entry in ipairs(entries) do
  local fields = entry[2]
  local seq = position(entry[1])
  if number == limit then
    upto = seq
  end
  if not (fields[4] == 'd' and finished(fields[2])) then
    frames[#frames + 1] = seq
    frames[#frames + 1] = tonumber(fields[6])
    frames[#frames + 1] = fields[8]
  end
end
return { now.epoch, now.seq, after, upto, reason, missed_from, missed_to, frames }
