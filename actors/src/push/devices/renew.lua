-- A browser's subscription was replaced by another: the new device is of the user and the session that the old one was of.
-- If another user has subscribed it meanwhile, it stays that user's: the one who has logged in since. The old one is forgotten.
-- KEYS: the old device, the new one. ARGV: the old endpoint; two fields that hold its keys, each with what was read there;
-- the new endpoint, p256dh, auth, expirationTime (empty: none), the VAPID key's fingerprint (empty: none), the most devices.
-- Gives what subscribing gives, 5 if another user keeps the new device, or -1 if there is no such old device.
local old, device = KEYS[1], KEYS[2]
local found = redis.call('hmget', old, 'user', 'session', ARGV[2], ARGV[4])
if not found[1] or found[3] ~= ARGV[3] or found[4] ~= ARGV[5] then return -1 end
local new = {
  endpoint = ARGV[6], user = found[1], p256dh = ARGV[7], auth = ARGV[8], ends = ARGV[9], session = found[2] or '', vapid = ARGV[10],
}
if old ~= device then
  local known = redis.call('hmget', device, 'p256dh', 'auth', 'vapid', 'user')
  local key = known[3] or ''
  local same = known[1] == new.p256dh and known[2] == new.auth
  if same and key ~= '' and new.vapid ~= '' and key ~= new.vapid then return 4 end
  -- First, so that the new one takes its room and nobody else's.
  redis.call('srem', 'user:' .. found[1] .. ':subs', ARGV[1], old)
  redis.call('del', old)
  if same and known[4] and known[4] ~= new.user then return 5 end
end
return subscribe(new, tonumber(ARGV[11]))
