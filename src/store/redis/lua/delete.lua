-- Deletes a channel. ARGV from 4: deadline in ms, the channel of the announcement.
if now_ms > tonumber(ARGV[4]) then return {'late', now_ms} end
allow_out_of_memory()
local length = expire()
if not is_alive(length > 0) then return {'missing', now_ms} end
redis.call('DEL', stream)
-- Ids go on where they were, and what was deleted is no gap.
redis.call('HDEL', record, 'o', 'k', 'h', 'a', 'u', 'n')
gen = redis.call('HINCRBY', record, 'g', 1)
redis.call('EXPIREAT', record, string.format('%d', math.max(now, (split(last))) + ON_REQUEST))
redis.call('PUBLISH', ARGV[5], 'D ' .. gen)
return {'ok', now_ms, last, gen, length, asked_ago(), m[8] and 1 or 0}
