-- Says the messages whose time has come, if the lease is still the given one.
-- KEYS lease, fence, timers, messages, then the streams that a message may go to.
-- ARGV number of the lease, now in ms, limit, length of the prefix. Answers how many were said.
local held, current = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if not held or current ~= ARGV[1] or string.match(held, '|(%d+)$') ~= ARGV[1] then return 0 end
local streams = {}
for i = 5, #KEYS do streams[string.sub(KEYS[i], tonumber(ARGV[4]) + 1, -8)] = KEYS[i] end
local said, offset, limit = 0, 0, tonumber(ARGV[3])
while said < limit do
  local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[2], 'LIMIT', offset, limit - said)
  if #due == 0 then break end
  for _, id in ipairs(due) do
    local stored = redis.call('HGET', KEYS[4], id)
    local ok, message = pcall(cjson.decode, stored or '')
    local stream = ok and type(message) == 'table' and streams[message.channel]
    local kind = stream and redis.call('TYPE', stream).ok
    local fits = kind == 'stream' or kind == 'none'
    if fits then
      local added = redis.pcall('XADD', stream, '*', 'e', message.e, 'b', message.b)
      if type(added) == 'table' then
        if not string.find(added.err, 'last possible ID', 1, true) then return added end
        fits = false
      end
    end
    if fits then
      if message.announce then
        local rest = string.match(message.b, '^%s*{%s*(.*)$') or ''
        if string.sub(rest, 1, 1) ~= '}' then rest = ',' .. rest end
        redis.pcall('PUBLISH', string.sub(stream, 1, -8), '{"meta":' .. message.e .. rest)
      end
      redis.call('ZREM', KEYS[3], id)
      redis.call('HDEL', KEYS[4], id)
      said = said + 1
    else
      offset = offset + 1 -- of a newer program, or its stream's key is taken or has no ids left: stays, and must not stand in the way
    end
  end
end
return said
