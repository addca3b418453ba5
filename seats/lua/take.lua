-- Takes all of the locks, or none.
-- KEYS: locks, marks (that seats are taken)   ARGV: token of the owner, life_ms
-- Result: place, 0 when all are taken, else (from 1) of the first lock that somebody else holds, or of the first mark that is
--         there, counted after the locks; mark: what stands in it.
for place, lock in ipairs(locks) do
    if redis.call('EXISTS', lock) == 1 then return result({place = place}) end
end
for place, key in ipairs(marks) do
    local mark = redis.call('GET', key)
    if mark then return result({place = #locks + place, mark = mark}) end
end
for _, lock in ipairs(locks) do
    redis.call('SET', lock, token, 'PX', life_ms)
end
return result({place = 0})
