-- What every script begins with. KEYS: stream, record and clock. ARGV: message_timeout in seconds
-- (0: none), min_messages, channel_timeout in seconds. Seconds and ids are those of Redis' clock.
local stream, record, clock = KEYS[1], KEYS[2], KEYS[3]
local timeout, min, idle = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1])
local now_ms = now * 1000 + math.floor(tonumber(time[2]) / 1000)
local LEASE, ON_REQUEST, MARGIN = 90, 3600, 60

-- l: last id; k: last kept id; g: deletes so far; o: made by 1 GET, 2 POST, 3 PUT; h: held until;
-- a: asked at; u: lives until, with no message and no held request; n: whether it had a message.
local m = redis.call('HMGET', record, 'l', 'k', 'g', 'o', 'h', 'a', 'u', 'n')
local last, kept, gen = m[1] or '0-0', m[2] or '0-0', tonumber(m[3] or 0)
local made, held = tonumber(m[4] or 0), tonumber(m[5] or 0)
local lives_until = tonumber(m[7] or 0)

-- The two numbers of an id or a place.
local function split(id)
  local second, number = string.match(id or '', '^(%d+)[-:](%d+)$')
  return tonumber(second or 0), tonumber(number or 0)
end

local function id_of(second, number)
  return string.format('%d-%d', second, number)
end

local function later(id, other)
  local second, number = split(id)
  local other_second, other_number = split(other)
  if second > other_second or second == other_second and number > other_number then
    return id
  end
  return other
end

-- Whether there is a message that has not expired; writes nothing.
local function has_messages()
  if redis.call('XLEN', stream) == 0 then return false end
  return timeout == 0 or min > 0 or split(kept) >= now - timeout
end

local function is_alive(has)
  return made > 0 and (has or held > now or lives_until > now)
end

-- Where maxmemory is reached Redis refuses a script whose first write takes memory; behind another
-- write it goes on. So subscribers are served, and channels deleted, where there is no memory left.
local function allow_out_of_memory()
  redis.call('HDEL', record, '')
end

-- Removes what has expired, a bounded number where some must stay; gives how many are left.
local function expire()
  local oldest = now - timeout
  if timeout > 0 and oldest > 1 then
    if min == 0 then
      redis.call('XTRIM', stream, 'MINID', '=', string.format('%d', oldest))
    else
      local most = math.min(16, redis.call('XLEN', stream) - min)
      for _ = 1, most do
        local expired = string.format('%d', oldest - 1)
        local first = redis.call('XRANGE', stream, '-', expired, 'COUNT', 1)[1]
        if not first then break end
        redis.call('XDEL', stream, first[1])
      end
    end
  end
  return redis.call('XLEN', stream)
end

-- How long it lives with no message and no held request, from the end of a second on.
local function idle_of(origin)
  if origin == 3 then return math.max(idle, ON_REQUEST) end
  if origin == 2 then return idle end
  return 0
end

-- Lets the record live until then at least. `left`: its TTL before this script wrote to it.
local function extend(left, till)
  if left == -2 or left >= 0 and now + left < till then
    redis.call('EXPIREAT', record, string.format('%d', till + MARGIN))
  end
end

-- Whole seconds since a subscriber last asked; -1: never.
local function asked_ago()
  if not m[6] then return -1 end
  return math.max(0, now - tonumber(m[6]))
end
