-- Takes or extends a lease, or gives it up. KEYS lease, fence. ARGV owner, time to live in ms (0: give it up), seconds since 1970.
-- Answers the fencing number; nil where another holds it, or it was given up.
local owner, ttl = ARGV[1], tonumber(ARGV[2])
local held = redis.call('GET', KEYS[1])
local holder, number
if held then holder, number = string.match(held, '^(.*)|(%d+)$') end
if ttl == 0 then
  if holder == owner then redis.call('DEL', KEYS[1]) end
  return false
end
if held and holder ~= owner then return false end
if held then
  redis.call('PEXPIRE', KEYS[1], ttl)
  return number
end
-- Where the numbers are gone (FLUSHALL), new ones begin at the time: above all that were given before.
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[2], ARGV[3])
end
number = string.format('%.0f', redis.call('INCR', KEYS[2]))
redis.call('SET', KEYS[1], owner .. '|' .. number, 'PX', ttl)
return number
