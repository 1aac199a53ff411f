-- The end of every commit: the starts, and where the groups' acknowledgements have come to. Goes on with the names of what is before.

-- Starts that are units of their own come last, brought together: KEYS a stream each, ARGV number of them; for each group,
-- consumer, attempt, number of ids, ids in order. Answers the ids that the consumer holds and whose entries are there.
local starts = {}
a = a + 1
for one = 1, tonumber(ARGV[a - 1]) do
  local of, group, consumer, attempt, count = KEYS[k], ARGV[a], ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 3])
  k, a = k + 1, a + 4
  local claim, held = {}, {}
  local found = try('XPENDING', of, group, ARGV[a], ARGV[a + count - 1], 100000, consumer)
  for _, pending in ipairs(found.err and {} or found) do held[pending[1]] = true end
  for _ = 1, count do
    if held[ARGV[a]] then claim[#claim + 1] = ARGV[a] end
    a = a + 1
  end
  if #claim > 0 then
    local words = { of, group, consumer, 0, unpack(claim) }
    for _, word in ipairs({ 'RETRYCOUNT', attempt, 'JUSTID' }) do words[#words + 1] = word end
    claim = call('XCLAIM', unpack(words))
  end
  starts[one] = table.concat(claim, ' ')
end

-- Where each group's acknowledgements have come to: just before its oldest pending entry, or to the newest that was acknowledged last.
for _, at in ipairs(touched) do
  local stream, group, mark = at[1], at[2], at[3]
  local pending = call('XPENDING', stream, group)
  if pending[1] > 0 then
    -- A group that reads on after the id just before another gets that one first.
    local ms, seq = string.match(pending[2], '^(%d+)-(%d+)$')
    ms, seq = tonumber(ms), tonumber(seq)
    if seq > 0 then mark = string.format('%.0f-%.0f', ms, seq - 1)
    elseif ms == 0 then mark = '0-0'
    else mark = string.format('%.0f-18446744073709551615', ms - 1) end
  elseif at[4] then
    local newest_ms, newest_seq = -1, -1
    for i = 3, #at do
      local ms, seq = string.match(at[i], '^(%d+)-(%d+)$')
      ms, seq = tonumber(ms), tonumber(seq)
      if ms > newest_ms or ms == newest_ms and seq > newest_seq then newest_ms, newest_seq, mark = ms, seq, at[i] end
    end
  end
  -- `channel|group`, by the channel's own name.
  try('HSET', KEYS[1], string.sub(stream, tonumber(ARGV[1]) + 1, -8) .. '|' .. group, mark)
end
answers[#answers + 1] = starts
return answers
