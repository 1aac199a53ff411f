-- Applies units of commits. Each unit is checked completely first and written afterwards; a unit that does not apply writes nothing.
--
-- KEYS[1] is the hash of watermarks; then come the keys of all steps, in order.
-- ARGV[1] length of the prefix, ARGV[2] number of units; for each unit: number of arguments, number of keys, the steps.
-- A step is a letter with its arguments:
--   L lease (keys: lease, fence) number       O once (key)
--   K acknowledge (key) group id, the unit's only one           J one of several
--   S start (key) group id consumer attempt
--   A append and announce (key) e b           Q append without announcing (key) e b
--   C change (key) expect ttl sets removes {field value} {field}
--   I add (key) field n ceiling               D delete (key) expect
--   P push (key) value keep     V set string (key) value     M add member (key) member
--   R remove member (key) member              Z score (key) member score
--   T schedule (keys: timers, messages) id at message        X cancel (keys: timers, messages) id
-- expect: `*` anything, `-` nothing, else a version. ttl: `k` keep, `c` clear, else milliseconds. ceiling: empty for none.
--
-- A write can be refused by the server (memory, disk, read-only) only while the script has written nothing yet, so an error
-- that leaves the script means that no unit has written anything. All else that could fail is checked, or called by pcall.
-- What became of a unit: `+ids` committed, `=ids` duplicate, `!` not pending, `F` fenced, or {letter, ...}.

local call, try = redis.call, redis.pcall
local prefix = tonumber(ARGV[1])
local a, k = 3, 2 -- next argument, next key
local kinds = {} -- types of keys as stored now
local shadows -- what the unit's own earlier steps will have made of a key
local carried -- versions found by the check, for the write
local ids, once -- what the unit appended; its idempotency key
local appends, early -- how many there were so far; those that are written before all else
local fence -- the unit's only acknowledgement
local touched = {} -- what was acknowledged: stream, group, ids; again where another came between

local function arg() a = a + 1; return ARGV[a - 1] end
local function key() k = k + 1; return KEYS[k - 1] end
local function name(of) return string.sub(of, prefix + 1) end

local function kind(of)
  local found = kinds[of]
  if not found then
    found = call('TYPE', of).ok
    kinds[of] = found
  end
  return found
end

local function shadow(of)
  shadows = shadows or {}
  local s = shadows[of]
  if not s then
    s = { kind = kind(of), fields = {} }
    shadows[of] = s
  end
  return s
end

local function foreign(of, found, wanted) return { 'T', name(of), found, wanted } end

-- Checks that a key is free or of the wanted type, and takes it for that.
local function expect_kind(of, wanted)
  local s = shadow(of)
  if s.kind ~= 'none' and s.kind ~= wanted then return foreign(of, s.kind, wanted) end
  s.kind = wanted
end

local function version(of, s)
  if s.kind ~= 'hash' then return nil end
  if not s.version then
    local raw = not s.fresh and call('HGET', of, 'version')
    s.version = raw and #raw <= 15 and string.match(raw, '^%d+$') and tonumber(raw) or 0
  end
  return s.version
end

local function conflict(of, s, expect)
  local found = version(of, s)
  if expect == '*' then return nil end
  if expect == '-' and s.kind == 'none' then return nil end
  if expect ~= '-' and found and found == tonumber(expect) then return nil end
  return { 'C', name(of), found and string.format('%.0f', found) or '' }
end

-- Whole numbers of 64 bits as {high, low} with value high * 10^9 + low and 0 <= low < 10^9: a Lua number has only 53 bits.
local function whole(text)
  local sign, digits = string.match(text, '^(%-?)(%d+)$')
  if not digits or #digits > 19 then return nil end
  if #digits > 1 and string.sub(digits, 1, 1) == '0' or sign == '-' and digits == '0' then return nil end
  local high = tonumber(string.sub(digits, 1, -10)) or 0
  local low = tonumber(string.sub(digits, -9))
  if sign == '-' then
    high, low = -high, -low
    if low < 0 then high, low = high - 1, low + 1000000000 end
  end
  return { high, low }
end
local function above(x, y) return x[1] > y[1] or x[1] == y[1] and x[2] > y[2] end
local function sum(x, y)
  local low, high = x[2] + y[2], x[1] + y[1]
  if low >= 1000000000 then low, high = low - 1000000000, high + 1 end
  return { high, low }
end
local function written(x)
  if x[1] >= 0 then
    if x[1] == 0 then return string.format('%.0f', x[2]) end
    return string.format('%.0f%09.0f', x[1], x[2])
  end
  local high, low = -x[1], x[2]
  if low > 0 then high, low = high - 1, 1000000000 - low end
  if high == 0 then return string.format('-%.0f', low) end
  return string.format('-%.0f%09.0f', high, low)
end
local largest, smallest = { 9223372036, 854775807 }, { -9223372037, 145224192 }
local function fits(x) return not above(x, largest) and not above(smallest, x) end

local check, write = {}, {}

function check.L()
  local lease, fence, number = key(), key(), arg()
  local held = kind(lease) == 'string' and call('GET', lease)
  local current = kind(fence) == 'string' and call('GET', fence)
  if not held or current ~= number or string.match(held, '|(%d+)$') ~= number then return 'F' end
end
function write.L() k = k + 2; a = a + 1 end

function check.O()
  local of = key()
  if kind(of) == 'string' then return '=' .. call('GET', of) end
end
function write.O() once = key() end

local function gone(of, group, id)
  local pending = try('XPENDING', of, group, id, id, 1)
  return pending.err or #pending == 0
end
function check.K()
  local of, group, id = key(), arg(), arg()
  local found = kind(of)
  if found == 'none' then return '!' end
  if found ~= 'stream' then return foreign(of, found, 'stream') end
  -- Acknowledging tells; it is asked before only where something else is wrong too.
  fence = { of, group, id }
end
function check.J()
  local of, group, id = key(), arg(), arg()
  local found = kind(of)
  if found == 'none' then return '!' end
  if found ~= 'stream' then return foreign(of, found, 'stream') end
  if gone(of, group, id) then return '!' end
end
-- One that acknowledges nothing ends the unit: nothing has been written yet but what was appended early.
function write.K()
  local of, group, id = key(), arg(), arg()
  if call('XACK', of, group, id) == 0 then
    for _, step in ipairs(early or {}) do call('XDEL', step[1], ids[step[4]]) end
    return '!'
  end
  local at = touched[#touched]
  if at and at[1] == of and at[2] == group then at[#at + 1] = id else touched[#touched + 1] = { of, group, id } end
end

function check.S()
  local of, group, id, consumer = key(), arg(), arg(), arg()
  a = a + 1
  local found = kind(of)
  if found == 'none' then return '!' end
  if found ~= 'stream' then return foreign(of, found, 'stream') end
  local pending = try('XPENDING', of, group, id, id, 1, consumer)
  if pending.err or #pending == 0 then return '!' end
end
function write.S()
  local of, group, id, consumer, attempt = key(), arg(), arg(), arg(), arg()
  -- Claiming an entry that is gone from the stream would drop it from the pending list, and its handler's effects with it.
  if #call('XRANGE', of, id, id) > 0 then
    call('XCLAIM', of, group, consumer, 0, id, 'RETRYCOUNT', attempt, 'JUSTID')
  end
end

function check.A()
  local of, e, b = key(), arg(), arg()
  local refused
  if shadows or kind(of) ~= 'stream' then refused = expect_kind(of, 'stream') end
  appends = appends + 1
  -- One that the unit itself deletes before is appended in its turn, and so is one that is not there yet.
  if not refused and kind(of) == 'stream' and not (shadows and shadows[of] and shadows[of].fresh) then
    early = early or {}
    early[#early + 1] = { of, e, b, appends }
  end
  return refused
end
check.Q = check.A
-- Appending fails, too, where somebody has used up a stream's ids, which no check can see: so it is the first that is written.
local function append_early()
  for i, step in ipairs(early) do
    local id = try('XADD', step[1], '*', 'e', step[2], 'b', step[3])
    if type(id) == 'table' then
      -- Memory, disk, read-only: raised as it is.
      if i == 1 and not string.find(id.err, 'last possible ID', 1, true) then call('XADD', step[1], '*', 'e', '', 'b', '') end
      for j = 1, i - 1 do call('XDEL', early[j][1], ids[early[j][4]]) end
      return foreign(step[1], 'stream whose ids are used up (see XINFO STREAM, XSETID)', 'stream that can grow')
    end
    ids[step[4]] = id
  end
end
local function append()
  local of, e, b = key(), arg(), arg()
  appends = appends + 1
  ids[appends] = ids[appends] or call('XADD', of, '*', 'e', e, 'b', b)
  kinds[of] = 'stream'
  return of, e, b
end
local function announce(of, e, b)
  local rest = string.match(b, '^%s*{%s*(.*)$') or ''
  if string.sub(rest, 1, 1) ~= '}' then rest = ',' .. rest end
  -- The stream's key is the channel's name and `:stream`.
  try('PUBLISH', string.sub(of, 1, -8), '{"meta":' .. e .. rest)
end
function write.A() announce(append()) end
function write.Q() append() end

function check.C()
  local of, expect = key(), arg()
  a = a + 1
  local sets, removes = tonumber(arg()), tonumber(arg())
  local s = shadow(of)
  if s.kind ~= 'none' and s.kind ~= 'hash' then return foreign(of, s.kind, 'hash') end
  local refused = conflict(of, s, expect)
  if refused then return refused end
  local found = version(of, s) or 0
  carried = carried or {}
  carried[#carried + 1] = string.format('%.0f', found + 1)
  if s.kind == 'none' then s.fresh = true end
  s.kind, s.version = 'hash', found + 1
  for _ = 1, sets do
    local field = arg()
    s.fields[field] = arg()
  end
  for _ = 1, removes do s.fields[arg()] = false end
end
function write.C()
  local of = key()
  a = a + 1
  local ttl, sets, removes = arg(), tonumber(arg()), tonumber(arg())
  kinds[of] = nil
  local fields = { table.remove(carried, 1) }
  for i = 1, sets do
    fields[#fields + 1] = arg()
    fields[#fields + 1] = arg()
    if i % 500 == 0 then
      call('HSET', of, 'version', unpack(fields))
      fields = { fields[1] }
    end
  end
  call('HSET', of, 'version', unpack(fields))
  for _ = 1, removes do call('HDEL', of, arg()) end
  if ttl == 'c' then call('PERSIST', of) elseif ttl ~= 'k' then call('PEXPIRE', of, ttl) end
end

function check.I()
  local of, field, n, ceiling = key(), arg(), whole(arg()), arg()
  local s = shadow(of)
  if s.kind ~= 'none' and s.kind ~= 'hash' then return foreign(of, s.kind, 'hash') end
  local raw = s.fields[field]
  if raw == nil and s.kind == 'hash' and not s.fresh then raw = call('HGET', of, field) end
  local now = whole(raw or '0')
  local after = now and fits(now) and sum(now, n)
  if not after or not fits(after) then return { 'N', name(of), field } end
  if ceiling ~= '' and above(after, whole(ceiling)) then return { 'M', name(of), field, written(now) } end
  if s.kind == 'none' then s.fresh = true end
  s.kind, s.fields[field] = 'hash', written(after)
end
function write.I()
  local of, field, n = key(), arg(), arg()
  a = a + 1
  kinds[of] = nil
  call('HINCRBY', of, field, n)
end

function check.D()
  local of, expect = key(), arg()
  local s = shadow(of)
  local refused = conflict(of, s, expect)
  if refused then return refused end
  s.kind, s.fresh, s.version, s.fields = 'none', true, nil, {}
end
function write.D()
  local of = key()
  a = a + 1
  kinds[of] = nil
  call('DEL', of)
end

function check.P() a = a + 2; return expect_kind(key(), 'list') end
function write.P()
  local of, value, keep = key(), arg(), tonumber(arg())
  kinds[of] = nil
  call('RPUSH', of, value)
  if keep == 0 then call('DEL', of) else call('LTRIM', of, -keep, -1) end
end
function check.V() a = a + 1; return expect_kind(key(), 'string') end
function write.V()
  local of = key()
  kinds[of] = nil
  call('SET', of, arg())
end
function check.M() a = a + 1; return expect_kind(key(), 'set') end
function write.M()
  local of = key()
  kinds[of] = nil
  call('SADD', of, arg())
end
function check.Z() a = a + 2; return expect_kind(key(), 'zset') end
function write.Z()
  local of, member = key(), arg()
  kinds[of] = nil
  call('ZADD', of, arg(), member)
end
function check.R()
  local of = key()
  a = a + 1
  local s = shadow(of)
  if s.kind ~= 'none' and s.kind ~= 'set' and s.kind ~= 'zset' then return foreign(of, s.kind, 'set') end
end
function write.R()
  local of, member = key(), arg()
  local found = kind(of)
  kinds[of] = nil
  if found == 'zset' then call('ZREM', of, member) elseif found == 'set' then call('SREM', of, member) end
end

local function check_timers()
  return expect_kind(key(), 'zset') or expect_kind(key(), 'hash')
end
function check.T() a = a + 3; return check_timers() end
function write.T()
  local timers, messages, id, at = key(), key(), arg(), arg()
  kinds[timers], kinds[messages] = nil, nil
  call('ZADD', timers, at, id)
  call('HSET', messages, id, arg())
end
function check.X() a = a + 1; return check_timers() end
function write.X()
  local timers, messages, id = key(), key(), arg()
  kinds[timers], kinds[messages] = nil, nil
  call('ZREM', timers, id)
  call('HDEL', messages, id)
end

write.J = write.K

local answers, plain = {}, true -- whether all answers are texts
for unit = 1, tonumber(ARGV[2]) do
  local stop = a + 2 + tonumber(ARGV[a])
  local next_key = k + tonumber(ARGV[a + 1])
  a = a + 2
  local first_argument, first_key, answer = a, k, nil
  shadows, carried, appends, early, fence = nil, nil, 0, nil, nil
  while a < stop and not answer do
    a = a + 1
    answer = check[ARGV[a - 1]]()
  end
  if fence and type(answer) == 'table' and gone(unpack(fence)) then answer = '!' end
  ids, appends = {}, 0
  if not answer and early then answer = append_early() end
  if not answer then
    a, k, once = first_argument, first_key, nil
    while a < stop and not answer do
      a = a + 1
      answer = write[ARGV[a - 1]]()
    end
  end
  if not answer then
    local list = table.concat(ids, ' ')
    if once then
      call('SET', once, list, 'EX', 86400)
      kinds[once] = 'string'
    end
    answer = '+' .. list
  end
  a, k = stop, next_key
  plain = plain and type(answer) ~= 'table'
  answers[unit] = answer
end

