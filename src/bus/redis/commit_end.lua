-- The end of every commit: the starts, and where the groups' acknowledgements have come to. Goes on with the names of what is before.

-- Starts that are units of their own come last, brought together: KEYS a stream each, ARGV number of them; for each group,
-- consumer, attempt, number of ids, ids in order. Answers the ids that the consumer holds and whose entries are there.
local starts = {}
for one = 1, tonumber(arg()) do
  local of, group, consumer, attempt, count = key(), arg(), arg(), arg(), tonumber(arg())
  local claim, held = {}, {}
  local found = kind(of) == 'stream' and try('XPENDING', of, group, ARGV[a], ARGV[a + count - 1], 100000, consumer) or {}
  for _, pending in ipairs(found.err and {} or found) do held[pending[1]] = true end
  for _ = 1, count do
    local id = arg()
    if held[id] then claim[#claim + 1] = id end
  end
  if #claim > 0 then
    local words = { of, group, consumer, 0, unpack(claim) }
    for _, word in ipairs({ 'RETRYCOUNT', attempt, 'JUSTID' }) do words[#words + 1] = word end
    claim = call('XCLAIM', unpack(words))
  end
  starts[one] = table.concat(claim, ' ')
end

if #touched > 0 then
  -- The id just before another: a group that reads on after it gets that one first.
  local function before(id)
    local ms, seq = string.match(id, '^(%d+)-(%d+)$')
    ms, seq = tonumber(ms), tonumber(seq)
    if seq > 0 then return string.format('%.0f-%.0f', ms, seq - 1) end
    if ms == 0 then return '0-0' end
    return string.format('%.0f-18446744073709551615', ms - 1)
  end

  -- Where a group's acknowledgements have come to.
  local function watermark(of, group)
    local pending = try('XPENDING', of, group)
    if pending.err then return nil end
    if pending[1] > 0 then return before(pending[2]) end
    for _, info in ipairs(call('XINFO', 'GROUPS', of)) do
      local found, last
      for i = 1, #info, 2 do
        if info[i] == 'name' then found = info[i + 1] end
        if info[i] == 'last-delivered-id' then last = info[i + 1] end
      end
      if found == group then return last end
    end
  end

  for _, at in ipairs(touched) do
    local mark = watermark(at[1], at[2])
    -- `channel|group`, by the channel's own name.
    if mark then
      local channel = string.sub(at[1], tonumber(ARGV[1]) + 1, -8)
      try('HSET', KEYS[1], channel .. '|' .. at[2], mark)
    end
  end
end
answers[#answers + 1] = starts
return answers
