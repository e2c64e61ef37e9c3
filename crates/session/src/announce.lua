-- Goes before the script that appends: what nobody follows is not written. Leases of followers end by themselves, so the key is
-- there only while somebody follows.
if redis.call('EXISTS', KEYS[3]) == 0 then
  return { 'ok', '', {} }
end

