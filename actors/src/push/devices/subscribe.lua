-- A device is its user's and nobody else's.
-- Gives 0 if it was not known, 1 if nothing has changed, 2 if it was renewed, 3 if another user had it, 4 if it stays as it is
-- because it was subscribed for another VAPID key: an endpoint with the same keys is the same subscription.
-- `new`: endpoint, user, p256dh, auth, ends (empty: none), session, vapid (empty: unknown). `most`: devices of one user.
local function subscribe(new, most)
  local device, set = 'sub:' .. new.endpoint, 'user:' .. new.user .. ':subs'
  local time = redis.call('time')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)

  local change, vapid = 0, new.vapid
  if redis.call('exists', device) == 1 then
    local before = redis.call('hmget', device, 'user', 'p256dh', 'auth', 'expirationTime', 'vapid')
    local owner, key = before[1], before[5] or ''
    local same = before[2] == new.p256dh and before[3] == new.auth
    if same and key ~= '' and vapid ~= '' and key ~= vapid then return 4 end
    if vapid == '' then vapid = key end
    -- Written by an earlier server, which says whose it is by the sets alone.
    if not owner and redis.call('sismember', set, new.endpoint) + redis.call('sismember', set, device) > 0 then
      owner = new.user
    end
    if owner ~= new.user then
      change = 3
      if owner then redis.call('srem', 'user:' .. owner .. ':subs', new.endpoint, device) end
    elseif same and (before[4] or '') == new.ends then
      change = 1
    else
      change = 2
    end
  end

  redis.call('del', device)
  redis.call('hset', device, 'user', new.user, 'p256dh', new.p256dh, 'auth', new.auth, 'expirationTime', new.ends, 'seen', now,
    'session', new.session, 'vapid', vapid)
  if new.ends ~= '' then redis.call('pexpireat', device, new.ends) end
  redis.call('srem', set, device)
  redis.call('sadd', set, new.endpoint)

  local others = {}
  for _, member in ipairs(redis.call('smembers', set)) do
    local key = member
    if string.sub(key, 1, 4) ~= 'sub:' then key = 'sub:' .. key end
    local found = redis.call('hmget', key, 'user', 'seen')
    if redis.call('exists', key) == 0 or (found[1] and found[1] ~= new.user) then
      redis.call('srem', set, member)
    elseif key ~= device then
      others[#others + 1] = { member = member, key = key, seen = tonumber(found[2]) or 0 }
    end
  end
  -- Equal times need an order, too: the sort needs a consistent order.
  table.sort(others, function(a, b)
    if a.seen ~= b.seen then return a.seen > b.seen end
    return a.key < b.key
  end)
  for i = most, #others do
    redis.call('srem', set, others[i].member)
    redis.call('del', others[i].key)
  end
  return change
end
