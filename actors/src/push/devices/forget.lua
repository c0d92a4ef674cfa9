-- Forgets a user's devices: all, those of one session, or one. How many there were.
-- KEYS: the user's set. ARGV: the user, the session (empty: any), the endpoint (empty: any).
local set, user, session, endpoint = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local forgotten = 0
for _, member in ipairs(redis.call('smembers', set)) do
  local key = member
  if string.sub(key, 1, 4) ~= 'sub:' then key = 'sub:' .. key end
  local found = redis.call('hmget', key, 'user', 'session')
  if redis.call('exists', key) == 0 or (found[1] and found[1] ~= user) then
    redis.call('srem', set, member)
  elseif (session == '' or found[2] == session) and (endpoint == '' or key == 'sub:' .. endpoint) then
    redis.call('srem', set, member)
    forgotten = forgotten + redis.call('del', key)
  end
end
return forgotten
