-- Begins a request, or tells what became of it.
--
-- KEYS[1]  idempotency:{tenant}:{hash}
-- ARGV[1]  print of the body, empty while it is not known, ARGV[2] who would run it, ARGV[3] lease in milliseconds
--
-- Returns {first, '', ''} | {again, answer, print} | {running, '', ''} | {other, '', ''}. Whoever runs it is `holder`, until `until`.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local found = redis.call('HMGET', KEYS[1], 'print', 'answer', 'until')
if found[1] and found[1] ~= '' and ARGV[1] ~= '' and found[1] ~= ARGV[1] then
  return { 'other', '', '' }
end
if found[2] then
  return { 'again', found[2], found[1] }
end
if found[3] and tonumber(found[3]) > now then
  return { 'running', '', '' }
end
redis.call('HSET', KEYS[1], 'print', ARGV[1], 'holder', ARGV[2], 'until', string.format('%d', now + tonumber(ARGV[3])))
-- Longer than the lease: who comes after one that died is told if it is another request.
redis.call('PEXPIRE', KEYS[1], 86400000)
return { 'first', '', '' }
