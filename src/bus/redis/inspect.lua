-- A stream and its groups. KEYS the stream. Answers {'T', type} for a foreign type, else
-- {length, first id, last id, {{group, last delivered, pending, oldest pending, lag, {{consumer, pending, idle ms}}}}, newest id ever}.
local stream = KEYS[1]
local kind = redis.call('TYPE', stream).ok
if kind == 'none' then return { 0, false, false, {}, '0-0' } end
if kind ~= 'stream' then return { 'T', kind } end
local function fields(flat)
  local all = {}
  for i = 1, #flat, 2 do all[flat[i]] = flat[i + 1] end
  return all
end
local info = fields(redis.call('XINFO', 'STREAM', stream))
local groups = {}
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local group = fields(flat)
  local consumers = {}
  for _, one in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group.name)) do
    local consumer = fields(one)
    consumers[#consumers + 1] = { consumer.name, consumer.pending, consumer.idle }
  end
  local last = group['last-delivered-id']
  -- Servers before 7.0 do not know the lag, later ones not after some deletions; at the stream's end it is none.
  local lag = group.lag
  if not lag then lag = last == info['last-generated-id'] and 0 end
  local pending = redis.call('XPENDING', stream, group.name)
  groups[#groups + 1] = { group.name, last, group.pending, pending[2], lag or false, consumers }
end
local first, newest = info['first-entry'], info['last-entry']
return { info.length, first and first[1], newest and newest[1], groups, info['last-generated-id'] }
