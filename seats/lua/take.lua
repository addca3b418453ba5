-- Takes all of the locks, or none.
-- KEYS: the locks, then the marks that seats are taken   ARGV: owner's token, life in ms, how many locks
-- Result: {0} when all are taken, else the place (from 1) of the first lock that somebody else holds; or of the first mark
--         that is there, and what stands in it.
local locks = tonumber(ARGV[3])
for place = 1, locks do
    if redis.call('EXISTS', KEYS[place]) == 1 then return {place} end
end
for place = locks + 1, #KEYS do
    local mark = redis.call('GET', KEYS[place])
    if mark then return {place, mark} end
end
for place = 1, locks do
    redis.call('SET', KEYS[place], ARGV[1], 'PX', ARGV[2])
end
return {0}
