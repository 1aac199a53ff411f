-- Removes a stream's oldest entries, never one that a group has not been given or has not acknowledged.
-- KEYS the stream. ARGV oldest id to keep by age, entries to keep, `~` (whole nodes, bounded work) or `=` (exactly).
-- Answers how many went, or {'T', type}.
local stream = KEYS[1]
local kind = redis.call('TYPE', stream).ok
if kind == 'none' then return 0 end
if kind ~= 'stream' then return { 'T', kind } end
local function order(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function lower(x, y)
  if not x then return y end
  local x_ms, x_seq = order(x)
  local y_ms, y_seq = order(y)
  if x_ms < y_ms or x_ms == y_ms and x_seq < y_seq then return x end
  return y
end
local function after(id)
  local ms, seq = order(id)
  return string.format('%.0f-%.0f', ms, seq + 1)
end
local floor -- the oldest entry that a group still needs
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local name, last
  for i = 1, #info, 2 do
    if info[i] == 'name' then name = info[i + 1] end
    if info[i] == 'last-delivered-id' then last = info[i + 1] end
  end
  local pending = redis.call('XPENDING', stream, name)
  floor = lower(floor, pending[1] > 0 and pending[2] or after(last))
end
local function excess() return redis.call('XLEN', stream) - tonumber(ARGV[2]) end
local by_age = lower(floor, ARGV[1])
if ARGV[3] == '~' then
  local gone = redis.call('XTRIM', stream, 'MINID', '~', by_age, 'LIMIT', 10000)
  local beyond = excess()
  if beyond > 0 then
    local to = floor or '18446744073709551615-18446744073709551615'
    gone = gone + redis.call('XTRIM', stream, 'MINID', '~', to, 'LIMIT', math.min(beyond, 10000))
  end
  return gone
end
local gone = redis.call('XTRIM', stream, 'MINID', '=', by_age)
local beyond = math.min(excess(), 100)
if beyond > 0 then
  local page = redis.call('XRANGE', stream, '-', '+', 'COUNT', beyond)
  gone = gone + redis.call('XTRIM', stream, 'MINID', '=', lower(floor, after(page[#page][1])))
end
return gone
