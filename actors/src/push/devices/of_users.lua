-- The devices of users. KEYS: their sets. ARGV: the users, in the same order.
-- Gives the place of the user, from 0, and the endpoint, one after the other.
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {}
for i, set in ipairs(KEYS) do
  for _, member in ipairs(redis.call('smembers', set)) do
    local key = member
    if string.sub(key, 1, 4) ~= 'sub:' then key = 'sub:' .. key end
    local found = redis.call('hmget', key, 'user', 'expirationTime')
    -- The set is only an index: what it names may be gone, or somebody else's by now.
    if redis.call('exists', key) == 0 or (found[1] and found[1] ~= ARGV[i]) then
      redis.call('srem', set, member)
    else
      -- Written by an earlier server, which says whose it is by the sets alone.
      if not found[1] then redis.call('hset', key, 'user', ARGV[i]) end
      local ends = tonumber(found[2])
      if not ends or ends > now then
        answer[#answer + 1] = tostring(i - 1)
        answer[#answer + 1] = string.sub(key, 5)
      end
    end
  end
end
return answer
