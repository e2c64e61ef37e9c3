#!lua
-- spread: changes over how many partitions a domain's tenants are spread.
--
-- KEYS[1]  the domain's spread
-- ARGV     partitions
-- Reply    epoch, numbers of partitions, the present one first, joined by commas
-- Holds    The numbers before are remembered, four in all: what waits and what is known there is found as long as they are.

local known = redis.call('HMGET', KEYS[1], 'epoch', 'counts')
local counts = known[2] or '1'
if string.match(counts, '^%d+') == ARGV[1] then return {tonumber(known[1] or 0), counts} end
local fresh = {ARGV[1]}
for count in string.gmatch(counts, '%d+') do
  if #fresh < 4 and count ~= ARGV[1] then fresh[#fresh + 1] = count end
end
counts = table.concat(fresh, ',')
redis.call('HSET', KEYS[1], 'counts', counts)
return {redis.call('HINCRBY', KEYS[1], 'epoch', 1), counts}
