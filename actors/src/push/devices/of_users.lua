-- The devices of users. KEYS: their sets. ARGV: the users, in the same order, the VAPID key's fingerprint (empty: none), and the
-- users' earlier names (empty: none).
-- Gives the place of the user, from 0, the endpoint, and 1 if it was subscribed for another key, else 0.

-- Makes what an earlier server has left under another name the user's.
local function take_over(name, user, set)
  local from = 'user:' .. name .. ':subs'
  if redis.call('type', from).ok ~= 'set' then return end
  for _, member in ipairs(redis.call('smembers', from)) do
    local key = member
    if string.sub(key, 1, 4) ~= 'sub:' then key = 'sub:' .. key end
    if redis.call('type', key).ok == 'hash' and redis.call('hget', key, 'user') == name then
      redis.call('hset', key, 'user', user)
      redis.call('srem', from, member)
      redis.call('sadd', set, string.sub(key, 5))
    end
  end
end

local vapid = ARGV[#KEYS + 1]
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {}
for i, set in ipairs(KEYS) do
  local earlier = ARGV[#KEYS + 1 + i]
  if earlier ~= '' then take_over(earlier, ARGV[i], set) end
  for _, member in ipairs(redis.call('smembers', set)) do
    local key = member
    if string.sub(key, 1, 4) ~= 'sub:' then key = 'sub:' .. key end
    local found = redis.call('hmget', key, 'user', 'expirationTime', 'vapid')
    -- The set is only an index: what it names may be gone, or somebody else's by now.
    if redis.call('exists', key) == 0 or (found[1] and found[1] ~= ARGV[i]) then
      redis.call('srem', set, member)
    elseif found[1] then
      -- Without a user: left by an earlier server, and more than one set names it (adopt.lua).
      local ends = tonumber(found[2])
      if not ends or ends > now then
        answer[#answer + 1] = tostring(i - 1)
        answer[#answer + 1] = string.sub(key, 5)
        local key_of = found[3] or ''
        answer[#answer + 1] = (vapid ~= '' and key_of ~= '' and key_of ~= vapid) and '1' or '0'
      end
    end
  end
end
return answer
