-- Uses every command that changes something once, on keys of its own, so that a user who lacks a permission is found at
-- once and not in the middle of a unit. KEYS two keys. ARGV a channel. Answers the first refusal, or nil.
local stream, other = KEYS[1], KEYS[2]
local commands = {
  { 'XGROUP', 'CREATE', stream, 'g', '0', 'MKSTREAM' }, { 'XADD', stream, '1-1', 'e', '' },
  { 'XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 1, 'STREAMS', stream, '>' }, { 'XPENDING', stream, 'g' },
  { 'XCLAIM', stream, 'g', 'c', 0, '1-1', 'JUSTID' }, { 'XRANGE', stream, '-', '+' }, { 'XACK', stream, 'g', '1-1' },
  { 'XINFO', 'STREAM', stream }, { 'XINFO', 'GROUPS', stream }, { 'XINFO', 'CONSUMERS', stream, 'g' },
  { 'XTRIM', stream, 'MAXLEN', 0 }, { 'XGROUP', 'DESTROY', stream, 'g' },
  { 'HSET', other, 'f', '1' }, { 'HINCRBY', other, 'f', 1 }, { 'HGET', other, 'f' }, { 'HGETALL', other },
  { 'HDEL', other, 'f' }, { 'DEL', other },
  { 'RPUSH', other, 'v' }, { 'LTRIM', other, -1, -1 }, { 'LRANGE', other, 0, -1 }, { 'DEL', other },
  { 'SADD', other, 'm' }, { 'SREM', other, 'm' }, { 'SMEMBERS', other }, { 'DEL', other },
  { 'ZADD', other, 1, 'm' }, { 'ZRANGEBYSCORE', other, 0, 1 }, { 'ZRANGE', other, 0, -1 }, { 'ZREM', other, 'm' },
  { 'DEL', other }, { 'SET', other, '1' }, { 'INCR', other }, { 'GET', other }, { 'PEXPIRE', other, 60000 },
  { 'PTTL', other }, { 'PERSIST', other }, { 'TYPE', other }, { 'DEL', other, stream }, { 'PUBLISH', ARGV[1], '{}' },
}
redis.pcall('DEL', stream, other)
local refusal
for _, command in ipairs(commands) do
  local reply = redis.pcall(unpack(command))
  if type(reply) == 'table' and reply.err and not refusal then refusal = command[1] .. ': ' .. reply.err end
end
return refusal or false
