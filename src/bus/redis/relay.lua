-- Applies units that do nothing but acknowledge a message and append others, as most do: the same as `commit.lua`, without what
-- only other steps need. (A script's functions are made anew at each call; here there are few.)
--
-- KEYS[1] is the hash of watermarks; then for each unit: its idempotency key, the stream it acknowledges on, the streams it appends to.
-- ARGV[1] length of the prefix, ARGV[2] number of units; for each unit: 1 or 0 for an idempotency key, 1 or 0 for an acknowledgement
-- with its group and id, number of appends, and for each: 1 or 0 for announced, e, b.

local call, try = redis.call, redis.pcall
local a, k = 3, 2 -- next argument, next key
local answers, kinds, touched, marks = {}, {}, {}, {}

local function arg() a = a + 1; return ARGV[a - 1] end
local function key() k = k + 1; return KEYS[k - 1] end
local function kind(of)
  local found = kinds[of]
  if not found then
    found = call('TYPE', of).ok
    kinds[of] = found
  end
  return found
end
local function foreign(of, found, wanted) return { 'T', string.sub(of, tonumber(ARGV[1]) + 1), found, wanted } end

for unit = 1, tonumber(ARGV[2]) do
  local once = ARGV[a] == '1' and KEYS[k]
  if once then k = k + 1 end
  local stream, group, id
  a = a + 2
  if ARGV[a - 1] == '1' then
    stream, group, id = KEYS[k], ARGV[a], ARGV[a + 1]
    k, a = k + 1, a + 2
  end
  local count, answer = tonumber(ARGV[a]), nil
  local first_key, first = k, a + 1
  a, k = a + 1 + 3 * count, k + count

  if once then
    local before = try('GET', once)
    if type(before) == 'string' then answer = '=' .. before end
  end
  if not answer and stream and kind(stream) ~= 'stream' then
    answer = kind(stream) == 'none' and '!' or foreign(stream, kind(stream), 'stream')
  end
  for i = 0, count - 1 do
    local found = kind(KEYS[first_key + i])
    if not answer and found ~= 'stream' and found ~= 'none' then
      answer = foreign(KEYS[first_key + i], found, 'stream')
      local pending = stream and try('XPENDING', stream, group, id, id, 1)
      if pending and (pending.err or #pending == 0) then answer = '!' end
    end
  end

  local ids = {}
  -- Appending fails where somebody has used up a stream's ids, so it comes first. A stream that is not there yet has all of them.
  for i = 0, count - 1 do
    local to = KEYS[first_key + i]
    if not answer and kinds[to] == 'stream' then
      local at = first + 3 * i
      local appended = try('XADD', to, '*', 'e', ARGV[at + 1], 'b', ARGV[at + 2])
      if type(appended) == 'table' then
        -- Memory, disk, read-only: raised as it is, nothing having been written.
        if not next(ids) and not string.find(appended.err, 'last possible ID', 1, true) then
          call('XADD', to, '*', 'e', '', 'b', '')
        end
        answer = foreign(to, 'stream whose ids are used up (see XINFO STREAM, XSETID)', 'stream that can grow')
      else
        ids[i + 1] = appended
      end
    end
  end
  if not answer and stream and call('XACK', stream, group, id) == 0 then answer = '!' end

  if answer then
    for i = 1, count do
      if ids[i] then call('XDEL', KEYS[first_key + i - 1], ids[i]) end
    end
  else
    if stream and not marks[stream .. '|' .. group] then
      marks[stream .. '|' .. group] = true
      touched[#touched + 1] = { stream, group }
    end
    for i = 0, count - 1 do
      local to, at = KEYS[first_key + i], first + 3 * i
      local e, b = ARGV[at + 1], ARGV[at + 2]
      ids[i + 1] = ids[i + 1] or call('XADD', to, '*', 'e', e, 'b', b)
      kinds[to] = 'stream'
      if ARGV[at] == '1' then
        local rest
        if string.sub(b, 1, 2) == '{"' then
          rest = ',' .. string.sub(b, 2)
        else
          rest = string.match(b, '^%s*{%s*(.*)$') or ''
          if string.sub(rest, 1, 1) ~= '}' then rest = ',' .. rest end
        end
        -- The stream's key is the channel's name and `:stream`.
        try('PUBLISH', string.sub(to, 1, -8), '{"meta":' .. e .. rest)
      end
    end
    local list = table.concat(ids, ' ')
    if once then
      call('SET', once, list, 'EX', 86400)
      kinds[once] = 'string'
    end
    answer = '+' .. list
  end
  answers[unit] = answer
end

