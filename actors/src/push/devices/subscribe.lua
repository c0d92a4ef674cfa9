-- A device is its user's and nobody else's.
-- KEYS: the device, its user's set. ARGV: endpoint, user, p256dh, auth, expirationTime (empty: none), the most devices.
-- Gives 0 if it was not known, 1 if nothing has changed, 2 if it was renewed, 3 if another user had it.
local device, set = KEYS[1], KEYS[2]
local endpoint, user, ends, most = ARGV[1], ARGV[2], ARGV[5], tonumber(ARGV[6])
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local change = 0
if redis.call('exists', device) == 1 then
  local before = redis.call('hmget', device, 'user', 'p256dh', 'auth', 'expirationTime')
  local owner = before[1]
  -- Written by an earlier server, which says whose it is by the sets alone.
  if not owner and redis.call('sismember', set, endpoint) + redis.call('sismember', set, device) > 0 then
    owner = user
  end
  if owner ~= user then
    change = 3
    if owner then redis.call('srem', 'user:' .. owner .. ':subs', endpoint, device) end
  elseif before[2] == ARGV[3] and before[3] == ARGV[4] and (before[4] or '') == ends then
    change = 1
  else
    change = 2
  end
end

redis.call('del', device)
redis.call('hset', device, 'user', user, 'p256dh', ARGV[3], 'auth', ARGV[4], 'expirationTime', ends, 'seen', now)
if ends ~= '' then redis.call('pexpireat', device, ends) end
redis.call('srem', set, device)
redis.call('sadd', set, endpoint)

local others = {}
for _, member in ipairs(redis.call('smembers', set)) do
  local key = member
  if string.sub(key, 1, 4) ~= 'sub:' then key = 'sub:' .. key end
  local found = redis.call('hmget', key, 'user', 'seen')
  if redis.call('exists', key) == 0 or (found[1] and found[1] ~= user) then
    redis.call('srem', set, member)
  elseif key ~= device then
    others[#others + 1] = { member = member, key = key, seen = tonumber(found[2]) or 0 }
  end
end
-- Equal times need an order, too: the sort may not be asked for nonsense.
table.sort(others, function(a, b)
  if a.seen ~= b.seen then return a.seen > b.seen end
  return a.key < b.key
end)
for i = most, #others do
  redis.call('srem', set, others[i].member)
  redis.call('del', others[i].key)
end
return change
