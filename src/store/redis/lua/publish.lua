-- Publishes a message. ARGV from 4: max_messages (0: none), deadline in ms, flags (m: make the
-- channel, s: store the message, t: it has a type, e: it has an event name), the least id and the
-- least place, the channel of the announcement, type, event name, body.
local max, deadline, flags = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local channel, type, event, body = ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local function has(flag) return string.find(flags, flag, 1, true) ~= nil end

if now_ms > deadline then return {'late', now_ms} end
local place = redis.call('GET', clock)
local alive = is_alive(has_messages())
if not alive and not has('m') then return {'missing', now_ms} end

-- Time from this clock, above all that was ever given here or is known to a daemon.
local last_second, last_tag = split(later(last, ARGV[7]))
local place_second, place_number = split(later(place, ARGV[8]))
local second = math.max(now, 1, last_second, place_second)
local tag = second == last_second and last_tag + 1 or 0
local number = second == place_second and place_number + 1 or 0
if tag > 4294967295 or number > 4294967295 then
  second, tag, number = second + 1, 0, 0
end
local id = id_of(second, tag)

-- What takes memory comes first: refused for want of it, nothing is done.
local stored = has('s')
if stored then
  local entry = {'XADD', stream}
  local function add(...)
    for _, word in ipairs({...}) do entry[#entry + 1] = word end
  end
  if max > 0 then add('MAXLEN', '=', max) end
  add(id, 'n', string.format('%d', number))
  if kept ~= '0-0' then add('p', kept) end
  add('b', body)
  if has('t') then add('c', type) end
  if has('e') then add('e', event) end
  redis.call(unpack(entry))
end
local origin = math.max(alive and made or 0, 2)
local kept_now = stored and id or kept
local till = second + 1 + idle_of(origin)
if stored then till = till + timeout end
if alive then till = math.max(till, lives_until) end
redis.call('HSET', record, 'l', id, 'k', kept_now, 'o', origin, 'n', 1,
  'u', string.format('%d', till))
if not alive then redis.call('HDEL', record, 'a', 'h') end
redis.call('SET', clock, string.format('%d:%d', second, number))

local length = expire()
local forever = timeout == 0 or min > 0
if stored and forever then
  redis.call('PERSIST', stream)
elseif stored then
  redis.call('EXPIREAT', stream, string.format('%d', second + timeout + 1))
end
if forever and length > 0 then
  redis.call('PERSIST', record)
else
  local needed = math.max(till, alive and held or 0, split(kept_now) + timeout + 1)
  redis.call('EXPIREAT', record, string.format('%d', needed + MARGIN))
end

local full = not stored or #body <= 262144
local head = string.format('%s %s %d %s %s %d %d %s %s %d\n', full and 'M' or 'F', id, number,
  last, kept, gen, stored and 1 or 0, has('t') and #type or '-', has('e') and #event or '-', #body)
local payload = full and table.concat({head, type, event, body}) or head
local receivers = redis.call('PUBLISH', channel, payload)
return {'ok', now_ms, id, number, last, kept, gen, receivers, length, alive and asked_ago() or -1}
