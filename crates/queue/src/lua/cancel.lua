#!lua flags=allow-oom
-- cancel: ends an action that waits, or flags one that runs so that its worker learns of it with the next extension.
--
-- Key      tag of the partition
-- ARGV     now (0 = the server's clock), how long records are kept (ms), dead letters kept, id, tenant (of a task; empty for
--          an action without a record), reason
-- Reply    unknown | finished | cancelled | flagged
-- Holds    Another tenant's task is unknown. A waiting id stays in its list as a tombstone: its body is gone, and claims
--          skip it.

local function cancel(ARGV)
  local now = clock(ARGV[1])
  local id, tenant, reason = ARGV[4], ARGV[5], ARGV[6]
  local ending = {result_ttl = tonumber(ARGV[2]), keep = ARGV[3], reason = reason}
  local entry = head_of(id)

  local function finish_now()
    finish(id, entry, 'cancelled', now, ending)
    close()
    return 'cancelled'
  end

  if tenant ~= '' then
    local known = call('HMGET', T .. 't:' .. id, 'tenant', 'status')
    if known[1] ~= tenant then return 'unknown' end
    if known[2] ~= 'pending' and known[2] ~= 'running' then return 'finished' end
    if not entry then return 'finished' end
    if known[2] == 'pending' then
      if call('ZREM', T .. 'd', id) == 0 then count(entry.lane, entry.tenant, -1) end
      return finish_now()
    end
  else
    if not entry then return 'unknown' end
    if call('ZREM', T .. 'd', id) == 1 then return finish_now() end
  end
  call('HSET', T .. 'cx', id, reason)
  return 'flagged'
end
