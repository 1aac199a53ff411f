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

-- Where each group's acknowledgements have come to: just before its oldest pending entry, or where none is pending, to the newest
-- that was ever acknowledged; messages may be done out of order, so that one is kept, after a space, until nothing older is pending.
local function later(id, other)
  local ms, seq = string.match(id, '^(%d+)-(%d+)')
  local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)')
  if #ms ~= #other_ms then return #ms > #other_ms end
  if ms ~= other_ms then return ms > other_ms end -- numbers of as many digits are in the order of their texts
  return #seq > #other_seq or #seq == #other_seq and seq > other_seq
end
for _, at in ipairs(touched) do
  local stream, group, newest = at[1], at[2], at[3]
  for i = 4, #at do
    if later(at[i], newest) then newest = at[i] end
  end
  -- `channel|group`, by the channel's own name.
  local field = string.sub(stream, tonumber(ARGV[1]) + 1, -8) .. '|' .. group
  local before = try('HGET', KEYS[1], field)
  before = type(before) == 'string' and string.match(before, '%d+%-%d+$')
  if before and later(before, newest) then newest = before end
  local mark = newest
  local pending = call('XPENDING', stream, group)
  if pending[1] > 0 then
    -- A group that reads on after the id just before another gets that one first.
    local ms, seq = string.match(pending[2], '^(%d+)-(%d+)$')
    ms, seq = tonumber(ms), tonumber(seq)
    if seq > 0 then mark = string.format('%.0f-%.0f', ms, seq - 1)
    elseif ms == 0 then mark = '0-0'
    else mark = string.format('%.0f-18446744073709551615', ms - 1) end
    if later(newest, mark) then mark = mark .. ' ' .. newest end
  end
  try('HSET', KEYS[1], field, mark)
end
if plain then return table.concat(answers, '\n') end
return answers
