-- What stands under a key. KEYS the key. Answers {type, content, ms to live or below 0}; nil where there is nothing.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return false end
local content = false
if kind == 'hash' then content = redis.call('HGETALL', KEYS[1])
elseif kind == 'string' then content = redis.call('GET', KEYS[1])
elseif kind == 'list' then content = redis.call('LRANGE', KEYS[1], 0, -1)
elseif kind == 'set' then content = redis.call('SMEMBERS', KEYS[1])
elseif kind == 'zset' then content = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES') end
return { kind, content, redis.call('PTTL', KEYS[1]) }
