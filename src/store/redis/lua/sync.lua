-- Finds what came after an id. ARGV from 4: the id, how many messages at most, and how many bytes
-- (the first may have more).
local from, most, room = '(' .. ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])

local length = expire()
local found, more = {}, 0
while more == 0 do
  local entries = redis.call('XRANGE', stream, from, '+', 'COUNT', 10)
  for _, entry in ipairs(entries) do
    for _, word in ipairs(entry[2]) do room = room - #word end
    if #found == most or #found > 0 and room < 0 then
      more = 1
      break
    end
    found[#found + 1] = entry
  end
  if #entries < 10 then break end
  from = '(' .. entries[10][1]
end
local alive = is_alive(length > 0)
return {'ok', now_ms, last, kept, gen, alive and 1 or 0, more, found}
