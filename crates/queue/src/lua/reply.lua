#!lua flags=allow-oom
-- reply: puts a reply into the inbox of the process that awaits it.
--
-- KEYS[1]  inbox, KEYS[2] what says that it is read
-- ARGV     reply, how long the inbox is kept when nobody reads it (ms)
-- Reply    1, or 0 when nobody reads the inbox
-- Holds    An inbox that nobody reads takes no memory.

if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
