-- Takes points from all of the counters. If one of them has too few, the others get one point back.
-- KEYS: the counters. ARGV, four for each: the limit's points, how many to take, window and block in milliseconds.
-- Gives two numbers for each: points taken, and milliseconds until the window or the block ends.
local answer, refused = {}, false
for i = 1, #KEYS do
  local points, amount = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local window, block = ARGV[4 * i - 1], tonumber(ARGV[4 * i])
  redis.call('set', KEYS[i], 0, 'PX', window, 'NX')
  local consumed = redis.call('incrby', KEYS[i], amount)
  local left = redis.call('pttl', KEYS[i])
  -- A counter that somebody else left without an end.
  if left < 0 then
    redis.call('pexpire', KEYS[i], window)
    left = tonumber(window)
  end
  if consumed > points then
    refused = true
    -- Blocked by this attempt, not by an earlier one.
    if block > 0 and consumed <= points + amount then
      redis.call('pexpire', KEYS[i], block)
      left = block
    end
  end
  answer[2 * i - 1], answer[2 * i] = consumed, left
end
if refused then
  for i = 1, #KEYS do
    if answer[2 * i - 1] <= tonumber(ARGV[4 * i - 3]) then
      answer[2 * i - 1] = redis.call('decr', KEYS[i])
    end
  end
end
return answer
