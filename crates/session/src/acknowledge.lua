-- Remembers how far the client has dealt with the log.
--
-- KEYS[1] meta, KEYS[2] log
-- ARGV[1] new epoch if one is needed, ARGV[2] epoch of the position, ARGV[3] position
--
-- Returns the acknowledged position. Invariant: it never goes back, and never lies beyond what both epochs share.

local now = numbering(KEYS[1], KEYS[2], ARGV[1], false)
if not now then
  return 0
end
local known = tonumber(redis.call('HGET', KEYS[1], 'acked') or '0')
local bound = ARGV[2] == now.epoch and now.seq or shared(now.lineage, ARGV[2])
local seq = bound and math.min(tonumber(ARGV[3]), bound) or 0
if seq > known then
  redis.call('HSET', KEYS[1], 'acked', string.format('%.0f', seq))
  return seq
end
return known
