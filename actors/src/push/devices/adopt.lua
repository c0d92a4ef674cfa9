-- Devices that an earlier server has left without their user, who is the one whose set names them, if it is only one.
-- KEYS: sets. ARGV: `claim` or `give`, then the sets' users. All sets are claimed for before the first is given anything.
for i, set in ipairs(KEYS) do
  local user = ARGV[i + 1]
  local members = {}
  -- Somebody else's key may look like one of ours.
  if redis.call('type', set).ok == 'set' then members = redis.call('smembers', set) end
  for _, member in ipairs(members) do
    local key = member
    if string.sub(key, 1, 4) ~= 'sub:' then key = 'sub:' .. key end
    if redis.call('type', key).ok == 'hash' and redis.call('hexists', key, 'user') == 0 then
      local claimant = redis.call('hget', key, 'claimant')
      if ARGV[1] == 'give' then
        if claimant == user then
          redis.call('hset', key, 'user', user)
          redis.call('hdel', key, 'claimant')
        end
      elseif not claimant then
        redis.call('hset', key, 'claimant', user)
      elseif claimant ~= user then
        -- Of a browser that several have used: who was the last, nobody knows.
        redis.call('hset', key, 'claimant', '')
      end
    end
  end
end
return 1
