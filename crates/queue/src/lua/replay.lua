#!lua
-- replay: submits dead letters again, with fresh counters.
--
-- Key      tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), positions of dead letters
-- Reply    1 = submitted again | 0 = left where it is (malformed, or not known any more) a position
-- Holds    A letter leaves the dead letters in the step in which its action waits again. Without `allow-oom`: a full server
--          refuses before the first write.

local function replay(ARGV)
  local now, us = clock(ARGV[1])
  local kept = tonumber(ARGV[2])

  local function replay(position)
    local found = call('XRANGE', T .. 'dead', position, position)[1]
    if not found then return 0 end
    local fields = {}
    for i = 1, #found[2], 2 do fields[found[2][i]] = found[2][i + 1] end
    local entry = parse(fields.body)
    if not entry or fields.why == 'malformed' then return 0 end
    local id = fields.id
    if not call('SET', BODY .. id, dated(fields.body, us), 'NX') then return 0 end
    if entry.root and call('EXISTS', T .. 't:' .. id) == 0 then
      record_new(id, entry, fields.root or '', 0, now, kept)
    elseif entry.root then
      record(id, event('replayed', 0), 'status', 'pending', 'stage', 'replayed', 'why', '', 'reason', '', 'attempts', 0)
      call('HDEL', T .. 't:' .. id, 'error', 'result', 'finished_at', 'started_at')
      call('PERSIST', T .. 't:' .. id)
    end
    push(entry, id, false)
    call('XDEL', T .. 'dead', position)
    return 1
  end

  local reply = {}
  for i = 3, #ARGV do reply[#reply + 1] = replay(ARGV[i]) end
  close()
  return reply
end
