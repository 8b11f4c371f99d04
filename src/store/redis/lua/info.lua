-- Looks at a channel.
local length = expire()
if not is_alive(length > 0) then return {'missing', now_ms} end
return {'ok', now_ms, last, gen, length, asked_ago(), m[8] and 1 or 0}
