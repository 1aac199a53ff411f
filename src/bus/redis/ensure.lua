-- Creates a group that is not there: from the beginning, or from its watermark if it was there before.
-- KEYS the stream, the hash of watermarks. ARGV group, its field in the hash.
-- Answers {'T', type} for a foreign type, {'existing'}, {'created'}, or {'resumed', id}.
local stream, progress = KEYS[1], KEYS[2]
local group, field = ARGV[1], ARGV[2]
local kind = redis.call('TYPE', stream).ok
if kind ~= 'stream' and kind ~= 'none' then return { 'T', kind } end
local last
if kind == 'stream' then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    for i = 1, #info, 2 do
      if info[i] == 'name' and info[i + 1] == group then return { 'existing' } end
    end
  end
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
local function order(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local mark = redis.call('HGET', progress, field)
-- After a space stands the newest that was acknowledged while an older one was still to be done.
mark = mark and string.match(mark, '^(%d+%-%d+)')
if mark then
  -- A stream that ends before the watermark is another one: what it holds is new to the group.
  local ms, seq = order(mark)
  local last_ms, last_seq = order(last or '0-0')
  if not last or last_ms < ms or last_ms == ms and last_seq < seq then mark = false end
end
redis.call('XGROUP', 'CREATE', stream, group, mark or '0', 'MKSTREAM')
redis.call('HSET', progress, field, mark or '0-0')
if mark then return { 'resumed', mark } end
return { 'created' }
