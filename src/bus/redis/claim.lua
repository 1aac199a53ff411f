-- Takes pending messages over, oldest first in each stream, and leaves their delivery counts as they are. A sign of life of the
-- consumer, too: while it waits for messages that do not come, the server counts it as idle.
-- KEYS the streams. ARGV group, consumer, least idle time in ms (empty: only what this consumer holds itself), limit.
-- Answers {claimed, vanished}: {index, id, fields, attempts} and {index, id}; or {'E', index, error}.
local group, consumer, idle = ARGV[1], ARGV[2], ARGV[3]
local limit = tonumber(ARGV[4])
local claimed, vanished = {}, {}
-- Reading what it holds after the last possible id: that is nothing, and it is seen. (The very last one means `>`.)
local last = '18446744073709551615-18446744073709551614'
for i, stream in ipairs(KEYS) do
  redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, last)
  local from = '-'
  while #claimed < limit do
    local size = math.min(limit - #claimed, 100)
    local page
    if idle == '' then
      page = redis.pcall('XPENDING', stream, group, from, '+', size, consumer)
    else
      page = redis.pcall('XPENDING', stream, group, 'IDLE', idle, from, '+', size)
    end
    if page.err then
      if #claimed + #vanished == 0 then return { 'E', i, page.err } end
      break
    end
    for _, pending in ipairs(page) do
      local id = pending[1]
      local entry = redis.call('XRANGE', stream, id, id)[1]
      if entry then
        redis.call('XCLAIM', stream, group, consumer, 0, id, 'JUSTID')
        claimed[#claimed + 1] = { i, id, entry[2], pending[4] }
      else
        redis.call('XACK', stream, group, id)
        vanished[#vanished + 1] = { i, id }
      end
      from = '(' .. id
    end
    if #page < size then break end
  end
end
return { claimed, vanished }
