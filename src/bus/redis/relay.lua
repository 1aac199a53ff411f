-- Applies units that do nothing but acknowledge a message and append others, as most do: the same as `commit.lua`, without what
-- only other steps need. (A script's functions are made anew at each call, each command costs, and so does each argument, each
-- table and each text that is made, by its length: here there are few.)
--
-- KEYS[1] is the hash of watermarks; then for each unit: its idempotency key, the stream it acknowledges on, the streams it appends to.
-- ARGV[1] length of the prefix, ARGV[2] number of units; for each unit: its shape, group and id that it acknowledges, e and b of each
-- append. The shape is 1 or 0 for an idempotency key, 1 or 0 for an acknowledgement, and for each append A (announced) or Q.

local KEYS, ARGV, call, try, byte, sub = KEYS, ARGV, redis.call, redis.pcall, string.byte, string.sub
local a, k = 3, 2 -- next argument, next key
local answers, plain = {}, true -- whether all answers are texts
local touched, touching = {}, {} -- what was acknowledged: stream, group, ids; again where another came between

for unit = 1, tonumber(ARGV[2]) do
  local shape = ARGV[a]
  local count = #shape - 2
  local has_once, has_ack = byte(shape, 1, 2)
  local once, stream, group, id, answer
  a = a + 1
  if has_once == 49 then
    once, k = KEYS[k], k + 1
    local before = try('GET', once)
    if type(before) == 'string' then answer = '=' .. before end
  end
  if has_ack == 49 then
    stream, group, id = KEYS[k], ARGV[a], ARGV[a + 1]
    k, a = k + 1, a + 2
  end
  local first, only, ids, failed, at_fault = a - 2, nil, nil, nil, nil -- the append i has its texts at first + 2 * i

  -- Appending fails where the server refuses to write, where a key is of another type, and where somebody has used up a stream's
  -- ids. So it comes first, but for a stream that is not there yet: that has none of these, and is not made in vain.
  for i = 1, answer and 0 or count do
    local at = first + 2 * i
    local added = try('XADD', KEYS[k + i - 1], 'NOMKSTREAM', '*', 'e', ARGV[at], 'b', ARGV[at + 1])
    if type(added) == 'table' then
      failed, at_fault = added, KEYS[k + i - 1]
      break
    end
    -- Most have one.
    if count == 1 then only = added else
      ids = ids or {}
      ids[i] = added
    end
  end
  if stream and not answer and not failed then
    local gone = try('XACK', stream, group, id)
    if gone == 0 then answer = '!' elseif gone ~= 1 then failed, at_fault = gone, stream end
  end

  if failed then
    local function foreign(of, found, wanted)
      return { 'T', sub(of, tonumber(ARGV[1]) + 1), found or call('TYPE', of).ok, wanted or 'stream' }
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
    plain = plain and type(answer) ~= 'table'
  end
  if failed or answer then
    ids = ids or { only }
    for i = 1, count do
      if ids[i] then call('XDEL', KEYS[k + i - 1], ids[i]) end
    end
    -- Memory, disk, read-only: raised as it is, nothing having been written.
    if not answer then return failed end
  else
    if stream and touching[1] == stream and touching[2] == group then
      touching[#touching + 1] = id
    elseif stream then
      touching = { stream, group, id }
      touched[#touched + 1] = touching
    end
    for i = 1, count do
      local to, at = KEYS[k + i - 1], first + 2 * i
      local e, b = ARGV[at], ARGV[at + 1]
      if count == 1 then
        only = only or call('XADD', to, '*', 'e', e, 'b', b)
      else
        ids[i] = ids[i] or call('XADD', to, '*', 'e', e, 'b', b)
      end
      if byte(shape, 2 + i) == 65 then
        local brace, quote = byte(b, 1, 2)
        local said
        if brace == 123 and quote == 34 then
          said = '{"meta":' .. e .. ',' .. sub(b, 2)
        else
          local rest = string.match(b, '^%s*{%s*(.*)$') or ''
          if sub(rest, 1, 1) ~= '}' then rest = ',' .. rest end
          said = '{"meta":' .. e .. rest
        end
        -- The stream's key is the channel's name and `:stream`.
        try('PUBLISH', sub(to, 1, -8), said)
      end
    end
    local list = ids and table.concat(ids, ' ') or only or ''
    if once then call('SET', once, list, 'EX', 86400) end
    answer = '+' .. list
  end
  a, k = first + 2 + 2 * count, k + count
  answers[unit] = answer
end

