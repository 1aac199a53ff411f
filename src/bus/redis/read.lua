-- Takes a group's next messages from several streams without waiting. The oldest `start` of them count as started
-- (delivery count 1), the others not (0).
-- KEYS the streams, in the order in which they may fill the window. ARGV group, consumer, start, ahead.
-- Answers a list of {index of the stream, id, fields, attempt}; {'E', index, error} where nothing could be taken;
-- {'W', ids} with what each group was last given where there is nothing and nobody may start anything.
local group, consumer = ARGV[1], ARGV[2]
local start = tonumber(ARGV[3])
local want = start + tonumber(ARGV[4])
local taken = {}
for i, stream in ipairs(KEYS) do
  if #taken >= want then break end
  local reply = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', want - #taken, 'STREAMS', stream, '>')
  if reply and reply.err then
    if #taken == 0 then return { 'E', i, reply.err } end
    break
  elseif reply then
    for _, entry in ipairs(reply[1][2]) do
      taken[#taken + 1] = { i, entry[1], entry[2], 1 }
    end
  end
end
if #taken == 0 and start == 0 then
  local ids = {}
  for i, stream in ipairs(KEYS) do
    local infos = redis.pcall('XINFO', 'GROUPS', stream)
    ids[i] = '0-0'
    for _, info in ipairs(infos) do
      local name, last
      for j = 1, #info, 2 do
        if info[j] == 'name' then name = info[j + 1] end
        if info[j] == 'last-delivered-id' then last = info[j + 1] end
      end
      if name == group then ids[i] = last end
    end
  end
  return { 'W', ids }
end
if #taken > start then
  local function order(entry)
    local ms, seq = string.match(entry[2], '^(%d+)-(%d+)$')
    return tonumber(ms), tonumber(seq)
  end
  table.sort(taken, function(x, y)
    local x_ms, x_seq = order(x)
    local y_ms, y_seq = order(y)
    if x_ms ~= y_ms then return x_ms < y_ms end
    if x_seq ~= y_seq then return x_seq < y_seq end
    return x[1] < y[1]
  end)
  local ahead = {}
  for j = start + 1, #taken do
    local entry = taken[j]
    local ids = ahead[entry[1]] or {}
    ids[#ids + 1] = entry[2]
    ahead[entry[1]] = ids
    entry[4] = 0
  end
  for i, ids in pairs(ahead) do
    local words = { KEYS[i], group, consumer, 0, unpack(ids) }
    for _, word in ipairs({ 'RETRYCOUNT', 0, 'JUSTID' }) do words[#words + 1] = word end
    redis.call('XCLAIM', unpack(words))
  end
end
return taken
