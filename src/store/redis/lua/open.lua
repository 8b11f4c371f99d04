-- Finds the first message for a subscriber. ARGV from 4: flags (m: make the channel, w: the
-- subscriber waits), where it begins (oldest; newest; last, so many; after, an id; place, a place;
-- since_after and since_place: as those), and that.
local flags, start, at = ARGV[4], ARGV[5], ARGV[6]
local function has(flag) return string.find(flags, flag, 1, true) ~= nil end

local place = redis.call('GET', clock) or '0:0'
local left = redis.call('TTL', record)
local waits = has('w')
allow_out_of_memory()
local length = expire()
local alive = is_alive(length > 0)
if not alive and not (has('m') and waits) then return {'missing', now_ms} end
if not alive then
  redis.call('HDEL', record, 'u', 'n', 'h')
  made, lives_until, held, m[8] = 1, 0, 0, false
end
local fields = {'o', made, 'a', now}
if waits then
  held = math.max(held, now + LEASE)
  fields[5], fields[6] = 'h', string.format('%d', held)
end
local till = math.max(lives_until, now + 1 + idle_of(made))
if made > 1 then
  fields[#fields + 1] = 'u'
  fields[#fields + 1] = string.format('%d', till)
end
redis.call('HSET', record, unpack(fields))
extend(left, math.max(held, till))

-- The first in the order of places behind one: numbers of a second rise along the stream.
local function after_place()
  local second, number = split(at)
  local from = string.match(at, '^%d+') .. '-0'
  while true do
    local entries = redis.call('XRANGE', stream, from, '+', 'COUNT', 20)
    for _, entry in ipairs(entries) do
      if split(entry[1]) > second or tonumber(entry[2][2]) > number then return entry end
    end
    if #entries < 20 then return nil end
    from = '(' .. entries[20][1]
  end
end

local entry
local places = {}
local since = string.match(start, '^since_(.*)$')
if since then
  start = since
  -- What is published next could be up to a place that is ahead of the clock.
  local newest = start == 'place' and place or last
  local is_ahead = split(at) >= now and at ~= newest and later(at, newest) == at
  if is_ahead then at = id_of(now - 1, 0) end
  places[1] = at
end
if start == 'place' then
  entry = after_place()
elseif start == 'last' then
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', at)
  for index, one in ipairs(newest) do
    places[index] = string.format('%d:%s', split(one[1]), one[2][2])
  end
  entry = newest[#newest]
elseif start ~= 'newest' then
  local from = start == 'after' and '(' .. at or '-'
  entry = redis.call('XRANGE', stream, from, '+', 'COUNT', 1)[1]
end
-- Whether none that was kept before it is there any more.
local is_first = entry and redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1][1] == entry[1]
return {'ok', now_ms, last, kept, gen, length, place, m[8] and 1 or 0, entry or false,
  is_first and 1 or 0, places}
