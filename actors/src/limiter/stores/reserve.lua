-- Takes points from all of the counters. If one of them has too few, the others get one point back.
-- KEYS: the counters. ARGV, five for each: the limit's points, how many to take, window and block in milliseconds, and
-- how many of the points taken belong to attempts in flight, which may be right: where only those are in the way, the
-- counter is busy, gets its point back too, and blocks nobody.
-- Gives three numbers for each: points taken, milliseconds until the window or the block ends, and 1 if it is busy.
local answer, refused, gets_back = {}, false, {}
for i = 1, #KEYS do
  local points, amount = tonumber(ARGV[5 * i - 4]), tonumber(ARGV[5 * i - 3])
  local window, block = ARGV[5 * i - 2], tonumber(ARGV[5 * i - 1])
  local in_flight, busy = tonumber(ARGV[5 * i]), 0
  redis.call('set', KEYS[i], 0, 'PX', window, 'NX')
  local consumed = redis.call('incrby', KEYS[i], amount)
  local left = redis.call('pttl', KEYS[i])
  -- A counter that somebody else left without an end.
  if left < 0 then
    redis.call('pexpire', KEYS[i], window)
    left = tonumber(window)
  end
  gets_back[i] = consumed <= points
  if consumed > points then
    refused = true
    if consumed - in_flight <= points then
      busy = 1
      gets_back[i] = true
    -- Blocked by this attempt, not by an earlier one.
    elseif block > 0 and consumed <= points + amount then
      redis.call('pexpire', KEYS[i], block)
      left = block
    end
  end
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = consumed, left, busy
end
if refused then
  for i = 1, #KEYS do
    if gets_back[i] then
      answer[3 * i - 2] = redis.call('decr', KEYS[i])
    end
  end
end
return answer
