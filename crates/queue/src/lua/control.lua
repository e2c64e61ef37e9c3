#!lua flags=allow-oom
-- control: changes limits and pauses while work goes on.
--
-- Key      tag of the partition
-- ARGV     changes of three values: hash (cfg, cap, pt), field, value (empty = none any more)
-- Reply    parked tenants that are ready again
-- Holds    The next claim follows what is set. Whoever is parked is judged anew by it, so nobody stays parked by a limit that
--          is gone.

local function control(ARGV)
  for i = 1, #ARGV, 3 do
    if ARGV[i + 2] == '' then
      call('HDEL', T .. ARGV[i], ARGV[i + 1])
    else
      call('HSET', T .. ARGV[i], ARGV[i + 1], ARGV[i + 2])
    end
  end

  local parked = call('ZRANGE', T .. 'park', 0, -1, 'WITHSCORES')
  for i = 1, #parked, 2 do
    local lane, tenant = string.match(parked[i], '^([^:]+):(.+)$')
    rejoin(lane, tenant, parked[i + 1])
  end
  call('DEL', T .. 'park')
  woken = true
  close()
  return #parked / 2
end
