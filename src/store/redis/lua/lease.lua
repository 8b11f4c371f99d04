-- Notes that a request is held on a channel. ARGV from 4: seconds since a subscriber last asked.
if made == 0 then return {'missing', now_ms} end
local left = redis.call('TTL', record)
allow_out_of_memory()
held = math.max(held, now + LEASE)
local asked = math.max(tonumber(m[6] or 0), now - tonumber(ARGV[4]))
local fields = {'h', string.format('%d', held), 'a', string.format('%d', asked)}
local till = math.max(lives_until, now + 1 + idle_of(made))
if made > 1 then
  fields[5], fields[6] = 'u', string.format('%d', till)
end
redis.call('HSET', record, unpack(fields))
extend(left, math.max(held, till))
return {'ok', now_ms, last, gen}
