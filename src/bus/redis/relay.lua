-- Applies units that do nothing but acknowledge a message and append others, as most do: the same as `commit.lua`, without what
-- only other steps need. (A script's functions are made anew at each call, and each command costs: here there are few.)
--
-- KEYS[1] is the hash of watermarks; then for each unit: its idempotency key, the stream it acknowledges on, the streams it appends to.
-- ARGV[1] length of the prefix, ARGV[2] number of units; for each unit: 1 or 0 for an idempotency key, 1 or 0 for an acknowledgement
-- with its group and id, number of appends, and for each: 1 or 0 for announced, e, b.

local KEYS, ARGV, call, try = KEYS, ARGV, redis.call, redis.pcall
local a, k = 3, 2 -- next argument, next key
local answers = {}
local touched = {} -- what was acknowledged: stream, group, ids; again where another came between

for unit = 1, tonumber(ARGV[2]) do
  local once, stream, group, id, answer
  if ARGV[a] == '1' then
    once, k = KEYS[k], k + 1
    local before = try('GET', once)
    if type(before) == 'string' then answer = '=' .. before end
  end
  a = a + 2
  if ARGV[a - 1] == '1' then
    stream, group, id = KEYS[k], ARGV[a], ARGV[a + 1]
    k, a = k + 1, a + 2
  end
  local count = tonumber(ARGV[a])
  local first, ids, failed, at_fault = a - 2, {}, nil, nil -- the append i has its arguments at first + 3 * i

  -- Appending fails where the server refuses to write, where a key is of another type, and where somebody has used up a stream's
  -- ids. So it comes first, but for a stream that is not there yet: that has none of these, and is not made in vain.
  for i = 1, answer and 0 or count do
    local at = first + 3 * i
    local added = try('XADD', KEYS[k + i - 1], 'NOMKSTREAM', '*', 'e', ARGV[at + 1], 'b', ARGV[at + 2])
    if type(added) == 'table' then
      failed, at_fault = added, KEYS[k + i - 1]
      break
    end
    ids[i] = added
  end
  if stream and not answer and not failed then
    local gone = try('XACK', stream, group, id)
    if gone == 0 then answer = '!' elseif gone ~= 1 then failed, at_fault = gone, stream end
  end

  if failed then
    local function foreign(of, found, wanted)
      return { 'T', string.sub(of, tonumber(ARGV[1]) + 1), found or call('TYPE', of).ok, wanted or 'stream' }
    end
    local pending = stream and try('XPENDING', stream, group, id, id, 1) or { true }
    if pending.err and string.find(pending.err, 'WRONGTYPE', 1, true) then
      answer = foreign(stream)
    elseif #pending == 0 then
      answer = '!'
    elseif string.find(failed.err, 'WRONGTYPE', 1, true) then
      answer = foreign(at_fault)
    elseif string.find(failed.err, 'last possible ID', 1, true) then
      answer = foreign(at_fault, 'stream whose ids are used up (see XINFO STREAM, XSETID)', 'stream that can grow')
    end
  end
  if failed or answer then
    for i = 1, count do
      if ids[i] then call('XDEL', KEYS[k + i - 1], ids[i]) end
    end
    -- Memory, disk, read-only: raised as it is, nothing having been written.
    if not answer then return failed end
  else
    local at = touched[#touched]
    if stream and at and at[1] == stream and at[2] == group then
      at[#at + 1] = id
    elseif stream then
      touched[#touched + 1] = { stream, group, id }
    end
    for i = 1, count do
      local to, at = KEYS[k + i - 1], first + 3 * i
      local e, b = ARGV[at + 1], ARGV[at + 2]
      ids[i] = ids[i] or call('XADD', to, '*', 'e', e, 'b', b)
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
    if once then call('SET', once, list, 'EX', 86400) end
    answer = '+' .. list
  end
  a, k = first + 3 + 3 * count, k + count
  answers[unit] = answer
end

