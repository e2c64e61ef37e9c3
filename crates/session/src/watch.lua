-- Renews the lease of a following process and tells where the log stands.
--
-- KEYS[1] meta, KEYS[2] log, KEYS[3] nodes
-- ARGV[1] new epoch if one is needed, ARGV[2] process, ARGV[3] ms of its lease, ARGV[4] ms to live of a log without frames
--
-- Returns {epoch, top}.

local now = numbering(KEYS[1], KEYS[2], ARGV[1], true)
lease(KEYS[1], KEYS[2], KEYS[3], ARGV[2], tonumber(ARGV[3]), ARGV[4])
return { now.epoch, now.seq }
