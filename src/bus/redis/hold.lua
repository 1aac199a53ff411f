-- Restarts the idle time of messages that a consumer holds, or hands them back, without touching their delivery counts.
-- KEYS the stream of each message. ARGV `extend` or `release`, group, consumer, then the id of each.
-- Answers the indexes of those that the consumer does not hold.
local mode, group, consumer = ARGV[1], ARGV[2], ARGV[3]
local lost = {}
for i, stream in ipairs(KEYS) do
  local id = ARGV[3 + i]
  local pending = redis.pcall('XPENDING', stream, group, id, id, 1, consumer)
  if pending.err or #pending == 0 then
    lost[#lost + 1] = i
  elseif #redis.call('XRANGE', stream, id, id) > 0 then
    -- Claiming an entry that is gone from the stream would drop it from the pending list while its handler runs.
    if mode == 'extend' then
      redis.call('XCLAIM', stream, group, consumer, 0, id, 'JUSTID')
    else
      redis.call('XCLAIM', stream, group, consumer, 0, id, 'TIME', 0, 'JUSTID')
    end
  end
end
return lost
