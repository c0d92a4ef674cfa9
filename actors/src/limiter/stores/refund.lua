-- After a success. KEYS: counters. ARGV, one for each: `back` for a counter that gets its point back, `reset` for one that
-- starts over. A counter that has ended meanwhile has nothing to get back: it must not start below zero.
for i = 1, #KEYS do
  if ARGV[i] == 'reset' then
    redis.call('del', KEYS[i])
  elseif tonumber(redis.call('get', KEYS[i]) or 0) > 0 then
    redis.call('decr', KEYS[i])
  end
end
return true
