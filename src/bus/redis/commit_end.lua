-- The end of every commit: the starts, and where the groups' acknowledgements have come to. Goes on with the names of what is before.
-- Answers what became of each unit and of each start: lines of one text, or where one of them is a table, a table of all.

-- Starts that are units of their own come last, brought together: KEYS a stream each, ARGV number of them; for each group,
-- consumer, attempt, number of ids, ids in order. Answers the ids that the consumer holds and whose entries are there.
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
  answers[#answers + 1] = table.concat(claim, ' ')
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
    local dash = string.find(mark, '-', 1, true)
    for i = 4, #at do
      local id, later = at[i], nil
      if #id == #mark and string.byte(id, dash) == 45 then
        later = id > mark -- numbers of as many digits are in the order of their texts
      else
        local ms, seq = string.match(id, '^(%d+)-(%d+)$')
        local mark_ms, mark_seq = string.match(mark, '^(%d+)-(%d+)$')
        ms, mark_ms = tonumber(ms), tonumber(mark_ms)
        later = ms > mark_ms or ms == mark_ms and tonumber(seq) > tonumber(mark_seq)
      end
      if later then mark, dash = id, string.find(id, '-', 1, true) end
    end
  end
  -- `channel|group`, by the channel's own name.
  try('HSET', KEYS[1], string.sub(stream, tonumber(ARGV[1]) + 1, -8) .. '|' .. group, mark)
end
if plain then return table.concat(answers, '\n') end
return answers
