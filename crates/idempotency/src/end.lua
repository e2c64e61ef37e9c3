-- Ends the run of a request. KEYS[1] the request; ARGV[1] who ran it, ARGV[2] the answer, empty to let go, ARGV[3] milliseconds
-- that it is kept, ARGV[4] print of the body, empty when it was known before. Returns 1, or 0 when somebody else runs it.

if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'answer', ARGV[2])
  if ARGV[4] ~= '' then
    redis.call('HSET', KEYS[1], 'print', ARGV[4])
  end
end
redis.call('HDEL', KEYS[1], 'holder', 'until')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
