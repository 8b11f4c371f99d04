-- Makes the channel where it is missing.
local left = redis.call('TTL', record)
local alive = is_alive(has_messages())
local till = math.max(alive and lives_until or 0, now + 1 + idle_of(3))
redis.call('HSET', record, 'o', 3, 'u', string.format('%d', till))
if not alive then
  redis.call('HDEL', record, 'a', 'h', 'n')
  m[6], m[8] = false, false
end
extend(left, math.max(till, alive and held or 0))
local length = expire()
return {'ok', now_ms, last, gen, length, asked_ago(), m[8] and 1 or 0}
